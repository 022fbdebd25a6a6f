"""Sweeps: which setting trains next, which is dropped at a rung, which has won."""
