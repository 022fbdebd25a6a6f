"""The encoder, its heads, and its export to stock transformers."""
