"""What the dashboard says: pure functions from a snapshot to lines, shared by the screen and `--once`."""
