"""What a run's journal says: its summary, curves, budget and events. Pure; the daemon and the dashboard use it."""
