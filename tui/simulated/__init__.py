"""A simulated 8-GPU machine for `--demo`, screenshots and tests: no daemon, no GPU, deterministic."""
