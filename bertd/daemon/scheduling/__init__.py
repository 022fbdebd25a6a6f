"""Decide which job runs when and on which devices; start runners and complete their jobs."""
