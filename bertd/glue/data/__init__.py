"""A task's examples: GLUE's files, the hub's copy of them, or a table of one's own."""
