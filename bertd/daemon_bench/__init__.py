"""What the daemon needs and how fast it answers, beside the limits that it is held to: `make bench-daemon`."""
