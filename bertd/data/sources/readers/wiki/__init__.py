"""Readers of Wikipedia's text, in the forms in which people have it."""
