"""What the queue holds and how one job runs; no torch."""
