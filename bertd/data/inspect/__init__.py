"""The contents of a data set, as numbers and as text."""
