"""The panels: pure functions from a snapshot to lines, shared by the screen and `--once`."""
