"""Corpus to shards to batches."""
