"""Grids of finetunings: what they would take."""
