"""What a corpus may be: sources by kind and path, archives, readers, the hub."""
