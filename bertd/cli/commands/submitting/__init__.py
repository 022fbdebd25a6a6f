"""Subcommands that queue work."""
