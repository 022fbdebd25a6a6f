"""The daemon's configuration: its keys, the files that set them, and where each value came from."""
