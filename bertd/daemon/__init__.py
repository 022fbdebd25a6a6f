"""The daemon: scheduler, socket API, devices."""
