"""Subcommands about the daemon, its devices and its state folder."""
