"""Follow the journals of runs as they grow."""
