"""A backup of the state folder: written while the daemon runs, and restored into an empty folder."""
