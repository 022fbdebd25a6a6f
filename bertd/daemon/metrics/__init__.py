"""What the journals of runs say: events, newest figures, curves."""
