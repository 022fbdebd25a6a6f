"""One folder per run: pure Python, read and written by both sides."""
