"""The daemon as a process: socket, lock, systemd."""
