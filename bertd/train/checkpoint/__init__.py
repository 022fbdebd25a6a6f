"""Checkpoints: format, background saving, retention, resuming, export."""
