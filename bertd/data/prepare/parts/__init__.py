"""Sources to parts: cut into tasks, read, filtered and tokenized by workers; a part is a few megabytes of text."""
