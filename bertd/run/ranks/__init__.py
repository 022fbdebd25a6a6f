"""Boards in memory by which ranks report to their runner."""
