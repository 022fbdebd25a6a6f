"""The process that runs one job, restarts its ranks and outlives the daemon."""
