"""Everything about tokenizers: opening, kinds, vocabularies, fast encoding."""
