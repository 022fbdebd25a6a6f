"""What a tokenizer does to the case and the accents of letters."""

from __future__ import annotations

import json
from dataclasses import dataclass

from tokenizers import Tokenizer


@dataclass(frozen=True)
class Casing:
    """What the normalizer does to letters."""

    lowercase: bool
    strip_accents: bool


def read_casing(tokenizer: Tokenizer) -> Casing:
    """What its normalizer does to letters; none but BERT's does anything."""
    normalizer = json.loads(tokenizer.to_str())["normalizer"] or {}
    lowercase, strip = bool(normalizer.get("lowercase")), normalizer.get("strip_accents")
    return Casing(lowercase=lowercase, strip_accents=lowercase if strip is None else bool(strip))
