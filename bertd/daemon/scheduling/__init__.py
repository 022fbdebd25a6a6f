"""Which job runs when and on which devices; runners and what becomes of jobs."""
