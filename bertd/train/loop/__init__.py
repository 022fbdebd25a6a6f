"""The training loop and what acts in it at every step."""
