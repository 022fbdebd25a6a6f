"""Evaluate a checkpoint or an export on the validation split of a data set."""
