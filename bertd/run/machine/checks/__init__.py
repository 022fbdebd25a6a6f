"""Checks of a machine and its GPUs, whose findings `bertd doctor` and the alerts of a run word alike."""
