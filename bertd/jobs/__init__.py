"""The queue of jobs, and the runner of one job; no torch."""
