"""A run over several machines: how they meet, and how they notice that one is lost. See docs/multi-node.md."""
