"""The machine's devices: what they are, how busy, in service or not, and who gets which."""
