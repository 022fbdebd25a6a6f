"""Subcommands about exports and their scores."""
