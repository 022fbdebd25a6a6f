"""Corpus files to documents: one module per format, behind one protocol."""
