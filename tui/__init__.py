"""bert-tui: the terminal dashboard of bertd."""
