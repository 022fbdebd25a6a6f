"""Subcommands for runs without a daemon: by hand, and by the jobs of other engines."""
