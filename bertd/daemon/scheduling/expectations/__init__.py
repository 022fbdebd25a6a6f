"""When jobs are expected to start and end, and what may therefore start before its turn."""
