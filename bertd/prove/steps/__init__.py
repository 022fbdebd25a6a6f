"""A module for each step: `prove(context)` checks and measures, and writes each finding as soon as it has it."""
