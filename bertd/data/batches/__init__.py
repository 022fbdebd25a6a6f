"""From shards to batches: order, packing, masking."""
