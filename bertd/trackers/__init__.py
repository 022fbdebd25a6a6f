"""Metrics of a run for other programs: from its journal, afterwards or as it grows."""
