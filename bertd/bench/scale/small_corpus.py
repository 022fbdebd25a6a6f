"""A small corpus of made-up sentences with its vocabulary and data set, for benches that need real ones."""

from __future__ import annotations

import json
import random
from pathlib import Path

from bertd.data.commands.vocab import train_vocabulary
from bertd.data.dataset.shards import TOKENIZER_JSON
from bertd.data.prepare.pipeline import PrepareOptions, prepare
from bertd.tokenizer.vocabulary import read_vocabulary
from bertd.tokenizer.wordpiece import Casing

_SYLLABLES = ("ba", "ke", "li", "mo", "nu", "pra", "sta", "ter", "un", "wi", "zo", "che")
_VOCABULARY = 2000


def write_documents(path: Path, *, num_documents: int, seed: int) -> Path:
    """JSON lines of some 250 words each."""
    draw = random.Random(seed)
    words = ["".join(draw.choices(_SYLLABLES, k=draw.randint(1, 4))) for _ in range(3000)]
    with path.open("w") as file:
        for number in range(num_documents):
            sentences = [" ".join(draw.choices(words, k=draw.randint(6, 24))).capitalize() + "." for _ in range(17)]
            file.write(json.dumps({"text": f"{number} {' '.join(sentences)}"}) + "\n")
    return path


def make_small_dataset(folder: Path) -> Path:
    """Prepare 400 documents; a tenth of them validates. The vocabulary is `folder`/vocab.txt.

    Its last entry is [PAD] and its first a word, since a hole in a file reads as token 0.
    """
    corpus = write_documents(folder / "corpus.jsonl", num_documents=400, seed=1)
    vocab = folder / "vocab"
    casing = Casing(lowercase=True, strip_accents=True)
    train_vocabulary([str(corpus)], out=vocab, size=_VOCABULARY, casing=casing)
    entries = read_vocabulary(vocab / TOKENIZER_JSON).entries
    vocab = folder / "vocab.txt"
    vocab.write_text("\n".join(reversed(entries)) + "\n")
    out = folder / "small"
    prepare([str(corpus)], out=out, options=PrepareOptions(vocab=str(vocab), validation_share=0.1), processes=1)
    return out
