"""The recipe: its sections, its file, its stop rules."""
