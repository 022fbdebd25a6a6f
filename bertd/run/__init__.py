"""The files of a run's folder: pure Python, read and written by both sides."""
