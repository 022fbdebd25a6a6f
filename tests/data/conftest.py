"""A small vocabulary and data set of made-up prose, and the real corpora where they are."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from bertd.data.commands.vocab import train_vocabulary
from bertd.data.dataset.shards import DataSet
from bertd.data.prepare.pipeline import PrepareOptions, prepare
from bertd.tokenizer.wordpiece import Casing

_WORDS = (
    *("the", "a", "river", "stone", "house", "walks", "under", "bright", "quiet", "morning", "people", "said"),
    *("never", "always", "green", "into", "light", "of", "and"),
)


def made_up_text(seed: int, *, sentences: int) -> str:
    """Sentences of real words in no order, in paragraphs of five."""
    draw = random.Random(seed)
    lines = []
    for _ in range(sentences):
        # A sentence that ends in "a." would be taken for one that continues after an initial.
        words = [*draw.choices(_WORDS, k=draw.randint(2, 19)), draw.choice(_WORDS[2:])]
        lines.append(" ".join(words).capitalize() + ".")
    return "\n".join(" ".join(lines[i : i + 5]) for i in range(0, len(lines), 5))


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 60 text files."""
    folder = tmp_path_factory.mktemp("corpus")
    for number in range(60):
        (folder / f"{number:02d}.txt").write_text(made_up_text(number, sentences=5 + number % 40))
    return folder


@pytest.fixture(scope="session")
def vocab(tmp_path_factory: pytest.TempPathFactory, corpus: Path) -> Path:
    """An uncased vocabulary trained on the corpus."""
    folder = tmp_path_factory.mktemp("vocab")
    train_vocabulary([str(corpus)], out=folder, size=120, casing=Casing(lowercase=True, strip_accents=True))
    return folder


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory, corpus: Path, vocab: Path) -> DataSet:
    """The corpus, prepared; a tenth of it is validation."""
    out = tmp_path_factory.mktemp("prepared") / "set"
    prepare([str(corpus)], out=out, options=PrepareOptions(vocab=str(vocab), validation_share=0.1), processes=1)
    return DataSet.open(out, verify=True)
