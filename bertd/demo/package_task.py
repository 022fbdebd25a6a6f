"""The demo's finetuning task, in CoLA's format: is a sentence from one package's documentation, or from another's?

The package is the one with the most sentences. They come from modules that the pretraining never read, and no module
has sentences in both splits. Half of each split is from the package (label 1), so a guess scores accuracy 0.5 and
Matthews 0. Sentences that name the package are left out. The same documents in any order give the same task.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bertd.demo.docstrings import Document
from bertd.demo.prose import sentences
from bertd.errors import CorpusError
from bertd.run.atomic_files import SHARED_MODE, atomic_write

_SENTENCE = re.compile(r"^[A-Z][A-Za-z]*(?:,? [A-Za-z]+(?:[-'][a-z]+)?)+\.$")
"""Plain words and commas: a dotted name of a class or function would tell the package."""
_WORD_COUNTS = range(7, 25)
_DEV_SHARE = 1 / 3
_MAX_DEV = 500
_MAX_TRAIN = 2_400
_MIN_EXAMPLES = 20
"""Of each split: fewer cannot be called a score."""
_STDLIB = "the standard library"


@dataclass(frozen=True)
class LabeledSentence:
    """One example of the task."""

    sentence: str
    is_from_package: bool


@dataclass(frozen=True)
class PackageTask:
    """The examples of both splits."""

    package: str
    """Name of the package, or "the standard library"."""
    train: list[LabeledSentence]
    dev: list[LabeledSentence]


def make_task(held_out: Iterable[Document], *, seen: set[str]) -> PackageTask:
    """Build the task from the documents that the pretraining does not read.

    Args:
        held_out: modules with their paragraphs.
        seen: sentences that the pretraining reads; they are left out.

    Raises:
        CorpusError: too few sentences, or all from one package.
    """
    module_of: dict[str, str] = {}
    for document in sorted(held_out, key=lambda document: document.name):
        for paragraph in document.paragraphs:
            for text in sentences(paragraph):
                if _is_plain(text) and text not in seen:
                    module_of.setdefault(text, document.name)
    counts = Counter(_package(module) for module in module_of.values())
    # The name breaks a tie.
    package = max(counts, key=lambda name: (counts[name], name), default=_STDLIB)
    named = re.compile(rf"\b{re.escape(package)}\b", re.IGNORECASE)
    unnamed = {text: module for text, module in module_of.items() if not named.search(text)}
    ours = _split({text: module for text, module in unnamed.items() if _package(module) == package})
    others = _split({text: module for text, module in unnamed.items() if _package(module) != package})
    task = PackageTask(
        package=package,
        train=_balance(ours.train, others.train, limit=_MAX_TRAIN),
        dev=_balance(ours.dev, others.dev, limit=_MAX_DEV),
    )
    if min(len(task.train), len(task.dev)) < _MIN_EXAMPLES:
        raise CorpusError(
            f"held-out documentation: {len(task.train)} sentences to train on and {len(task.dev)} to score, half of "
            f"them from {package}; {_MIN_EXAMPLES} each are needed; read more with --source-mb"
        )
    return task


def write_task(task: PackageTask, folder: Path) -> None:
    """Write train.tsv and dev.tsv in CoLA's format: source, label, the author's mark, sentence; no header."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, examples in (("train", task.train), ("dev", task.dev)):
        lines = [_line(one) for one in examples]
        atomic_write(folder / f"{name}.tsv", "".join(lines), mode=SHARED_MODE)


@dataclass(frozen=True)
class _Sentences:
    train: list[str]
    dev: list[str]


def _split(module_of: dict[str, str]) -> _Sentences:
    """Split by module: in the order of their hashes, those that fit into a third of the sentences are for dev."""
    sizes = Counter(module_of.values())
    room = len(module_of) * _DEV_SHARE
    dev_modules: set[str] = set()
    for module in sorted(sizes, key=_digest):
        if sizes[module] <= room:
            dev_modules.add(module)
            room -= sizes[module]
    ordered = sorted(module_of, key=_digest)
    return _Sentences(
        train=[text for text in ordered if module_of[text] not in dev_modules],
        dev=[text for text in ordered if module_of[text] in dev_modules],
    )


def _balance(ours: Sequence[str], others: Sequence[str], *, limit: int) -> list[LabeledSentence]:
    """As many of both, alternating, at most `limit` together."""
    num_pairs = min(len(ours), len(others), limit // 2)
    return [
        LabeledSentence(text, is_ours)
        for pair in zip(ours[:num_pairs], others[:num_pairs], strict=True)
        for text, is_ours in zip(pair, (True, False), strict=True)
    ]


def _package(module: str) -> str:
    """The package of a document's name, such as packages/pandas/core/frame.py or stdlib/copy.py."""
    root, _, rest = module.partition("/")
    return _STDLIB if root == "stdlib" else rest.split("/")[0].removesuffix(".py")


def _line(one: LabeledSentence) -> str:
    return f"docs\t{int(one.is_from_package)}\t{'' if one.is_from_package else '*'}\t{one.sentence}\n"


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode(errors="surrogateescape")).digest()


def _is_plain(text: str) -> bool:
    return len(text.split(" ")) in _WORD_COUNTS and _SENTENCE.match(text) is not None
