"""bert-tui: the dashboard."""
