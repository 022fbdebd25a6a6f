"""Ranks: their launch, process group and watch over each other."""
