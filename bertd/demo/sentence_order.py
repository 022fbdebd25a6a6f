"""The demo's finetuning task, in CoLA's format: is a sentence as written, or were two of its words swapped?

The sentences come from modules that the pretraining never read. Each sentence is used once, as written (label 1) or
with two words swapped (label 0), half of them each, so a guess scores accuracy 0.5 and Matthews 0. The hash of a
sentence decides its split and label, so the same sentences always give the same task.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from bertd.demo.prose import sentences
from bertd.errors import CorpusError
from bertd.run.atomic_files import SHARED_MODE, atomic_write

_SENTENCE = re.compile(r"^[A-Z][A-Za-z]*(?:,? [A-Za-z]+(?:[-'][a-z]+)?)+\.$")
"""Plain words and commas, so that only the word order shows a swap."""
_WORD_COUNTS = range(7, 25)
_MAX_DEV = 500
_MAX_TRAIN = 2_400
_MIN_SENTENCES = 60


@dataclass(frozen=True)
class LabeledSentence:
    """One example of the task."""

    sentence: str
    is_as_written: bool


@dataclass(frozen=True)
class SentenceOrderTask:
    """The examples of both splits."""

    train: list[LabeledSentence]
    dev: list[LabeledSentence]


def make_task(held_out: Iterable[str], *, seen: set[str]) -> SentenceOrderTask:
    """Build the task from paragraphs.

    Args:
        held_out: paragraphs that the pretraining does not read.
        seen: sentences that the pretraining reads; they are left out.

    Raises:
        CorpusError: too few sentences.
    """
    found = {text for paragraph in held_out for text in sentences(paragraph) if _is_plain(text) and text not in seen}
    ordered = sorted(found, key=lambda text: hashlib.sha256(text.encode()).digest())
    if len(ordered) < _MIN_SENTENCES:
        raise CorpusError(
            f"held-out documentation: {len(ordered)} sentences, {_MIN_SENTENCES} are needed; read more with --source-mb"
        )
    num_dev = min(_MAX_DEV, len(ordered) // 5 * 2)
    examples = [_make_example(text, is_as_written=index % 2 == 0) for index, text in enumerate(ordered)]
    return SentenceOrderTask(dev=examples[:num_dev], train=examples[num_dev : num_dev + _MAX_TRAIN])


def swap_words(sentence: str) -> str:
    """Swap two different words; commas, the capital and the full stop stay in place."""
    words = [word.rstrip(",.") for word in sentence.split(" ")]
    suffixes = [word[len(core) :] for word, core in zip(sentence.split(" "), words, strict=True)]
    words[0] = words[0].lower() if words[0].istitle() else words[0]
    rng = random.Random(sentence)
    positions = range(len(words))
    # The tokenizer lowercases, so swapping words that differ only in case would change nothing.
    pairs = [(i, j) for i in positions for j in positions[i + 1 :] if words[i].lower() != words[j].lower()]
    first, second = rng.choice(pairs)
    words[first], words[second] = words[second], words[first]
    words[0] = words[0][0].upper() + words[0][1:]
    return " ".join(word + end for word, end in zip(words, suffixes, strict=True))


def write_task(task: SentenceOrderTask, folder: Path) -> None:
    """Write train.tsv and dev.tsv in CoLA's format: source, label, the author's mark, sentence; no header."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, examples in (("train", task.train), ("dev", task.dev)):
        lines = [
            f"docs\t{int(one.is_as_written)}\t{'' if one.is_as_written else '*'}\t{one.sentence}\n" for one in examples
        ]
        atomic_write(folder / f"{name}.tsv", "".join(lines), mode=SHARED_MODE)


def _line(one: LabeledSentence) -> str:
    return f"docs\t{int(one.is_as_written)}\t{'' if one.is_as_written else '*'}\t{one.sentence}\n"


def _make_example(sentence: str, *, is_as_written: bool) -> LabeledSentence:
    return LabeledSentence(sentence=sentence if is_as_written else swap_words(sentence), is_as_written=is_as_written)


def _is_plain(text: str) -> bool:
    return len(text.split(" ")) in _WORD_COUNTS and _SENTENCE.match(text) is not None
