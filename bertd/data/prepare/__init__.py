"""From sources to a data set: planning, tokenizing in workers, deduplication, writing the splits."""
