"""Amounts as people write and read them: durations, budgets, bytes, counts."""
