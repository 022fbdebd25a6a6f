"""A data set small enough to train on in a test: prepared by the real code from 400 generated documents."""

from __future__ import annotations

import json
import random
from pathlib import Path

from bertd.data.commands.vocab import train_vocabulary
from bertd.data.prepare.pipeline import PrepareOptions, prepare
from bertd.tokenizer.wordpiece import Casing

_WORDS = [
    "the",
    "a",
    "model",
    "layer",
    "trains",
    "reads",
    "writes",
    "budget",
    "step",
    "loss",
    "of",
    "in",
    "and",
    "on",
    "under",
    "token",
    "night",
    "box",
]


def make_tiny_dataset(folder: Path) -> Path:
    """Prepare the data set below `folder`; a fifth of the documents validate.

    Returns:
        The data set's folder: 120-entry vocabulary, some 40,000 tokens.
    """
    chooser = random.Random(7)
    corpus = folder / "corpus.jsonl"
    with corpus.open("w") as file:
        for _ in range(400):
            sentences = [" ".join(chooser.choices(_WORDS, k=12)).capitalize() + "." for _ in range(8)]
            file.write(json.dumps({"text": " ".join(sentences)}) + "\n")
    train_vocabulary([str(corpus)], out=folder / "vocab", size=120, casing=Casing(lowercase=True, strip_accents=True))
    out = folder / "dataset"
    options = PrepareOptions(vocab=str(folder / "vocab"), validation_share=0.2)
    prepare([f"jsonl:{corpus}"], out=out, options=options, processes=1)
    return out
