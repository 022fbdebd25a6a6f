"""Installing bertd as a systemd service: the units for the place that bertd is in, and the steps."""
