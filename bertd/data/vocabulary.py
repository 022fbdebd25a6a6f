"""What masking and packing need to know of a WordPiece vocabulary: its size, special tokens and real words."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bertd.errors import VocabularyError

SPECIAL_TOKENS = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
"""By their roles, in the order in which a new vocabulary numbers them from 0."""

_UNUSED = re.compile(r"^\[unused\d+\]$")


TokenDtype = np.dtype[np.uint16] | np.dtype[np.uint32]


def token_dtype(vocab_size: int) -> TokenDtype:
    """The narrowest type on disk that holds every id."""
    return np.dtype("<u2") if vocab_size <= 1 << 16 else np.dtype("<u4")


@dataclass(frozen=True)
class Vocabulary:
    """The entries of a WordPiece vocabulary, in the order of their ids."""

    entries: tuple[str, ...]
    pad: int
    unk: int
    cls: int
    sep: int
    mask: int

    @property
    def size(self) -> int:
        return len(self.entries)

    @property
    def special(self) -> frozenset[int]:
        """Ids of the special tokens."""
        return frozenset((self.pad, self.unk, self.cls, self.sep, self.mask))

    def words(self) -> npt.NDArray[np.int64]:
        """Ids of real entries, rising: no special token, no [unused] one."""
        real = [i for i, entry in enumerate(self.entries) if i not in self.special and not _UNUSED.match(entry)]
        return np.array(real, dtype=np.int64)

    def continuations(self) -> npt.NDArray[np.bool_]:
        """For each id, whether it goes on a word."""
        return np.array([entry.startswith("##") for entry in self.entries], dtype=np.bool_)


def make_vocabulary(entries: tuple[str, ...], *, place: str) -> Vocabulary:
    """A vocabulary from its entries.

    Args:
        place: what a message calls it.

    Raises:
        VocabularyError: it lacks a special token, or holds an entry twice.
    """
    ids = {entry: i for i, entry in enumerate(entries)}
    if len(ids) < len(entries):
        twice = next(entry for i, entry in enumerate(entries) if ids[entry] != i)
        raise VocabularyError(f"{place}: the entry {twice!r} stands there twice; remove one")
    missing = [token for token in SPECIAL_TOKENS.values() if token not in ids]
    if missing:
        raise VocabularyError(f"{place}: lacks {', '.join(missing)}; use the vocabulary of a BERT-like model")
    return Vocabulary(entries=entries, **{role: ids[token] for role, token in SPECIAL_TOKENS.items()})


def read_vocabulary(tokenizer_json: Path) -> Vocabulary:
    """The vocabulary inside a `tokenizer.json`.

    Raises:
        VocabularyError: unreadable, no WordPiece tokenizer, or its ids have gaps.
    """
    try:
        tree = json.loads(tokenizer_json.read_bytes())
        ids: dict[str, int] = dict(tree["model"]["vocab"])
        kind = str(tree["model"]["type"])
    except OSError as error:
        raise VocabularyError(f"{tokenizer_json}: cannot read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise VocabularyError(f"{tokenizer_json}: not a WordPiece tokenizer: {error!r}") from error
    if kind != "WordPiece":
        raise VocabularyError(f"{tokenizer_json}: a {kind} tokenizer; bertd reads WordPiece ones")
    if sorted(ids.values()) != list(range(len(ids))):
        raise VocabularyError(f"{tokenizer_json}: its {len(ids)} ids are not 0 to {len(ids) - 1}; mend the file")
    return make_vocabulary(tuple(sorted(ids, key=ids.__getitem__)), place=str(tokenizer_json))
