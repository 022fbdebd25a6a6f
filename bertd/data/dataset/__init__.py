"""A data set on disk: shards, manifest, text quality, token counts."""
