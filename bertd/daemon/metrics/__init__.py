"""Read the journals of runs: events, newest figures, curves."""
