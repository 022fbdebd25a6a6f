"""Read corpora: sources by kind and path, archives, readers, the hub."""
