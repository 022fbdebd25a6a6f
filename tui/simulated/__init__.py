"""A made-up 8-GPU box for `--demo`, screenshots and tests: no daemon, no GPU, and the same picture every time."""
