"""The vocabulary as masking and packing need it: its kind, size, special tokens and real words."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tokenizers.pre_tokenizers import ByteLevel

from bertd.errors import VocabularyError
from bertd.tokenizer.kind import VocabularyKind, detect_kind, require_deterministic
from bertd.tokenizer.tokenizer_json import entry_ids, special_ids

_FILLER_ENTRY = re.compile(r"\[unused\d+\]|madeupword\d{4}|<\|endoftext\|>")
"""Filler entries: BERT's, and the two kinds of RoBERTa's."""
_BYTE_SPACE, _SENTENCEPIECE_SPACE = "Ġ", "▁"
"""How byte-level and SentencePiece entries spell the space before a word. The first is also a letter of Maltese."""

_CONTINUATION_PREFIX = "##"
"""Prefix of WordPiece pieces that continue a word."""

TokenDtype = np.dtype[np.uint16] | np.dtype[np.uint32]


def token_dtype(vocab_size: int) -> TokenDtype:
    """The narrowest type on disk that holds every id."""
    return np.dtype("<u2") if vocab_size <= 1 << 16 else np.dtype("<u4")


@dataclass(frozen=True)
class Vocabulary:
    """The entries of a vocabulary, in the order of their ids."""

    kind: VocabularyKind
    entries: tuple[str, ...]
    added: frozenset[int]
    """Ids of tokens that were added to the entries learnt from text, special or not."""
    pad: int
    unk: int
    cls: int
    sep: int
    mask: int

    @property
    def size(self) -> int:
        return len(self.entries)

    @property
    def special_by_role(self) -> dict[str, int]:
        """Ids of the special tokens by pad, unk, cls, sep, mask."""
        return {"pad": self.pad, "unk": self.unk, "cls": self.cls, "sep": self.sep, "mask": self.mask}

    @property
    def special(self) -> frozenset[int]:
        """Ids of the special tokens."""
        return frozenset(self.special_by_role.values())

    @property
    def mask_token(self) -> str:
        """How a text spells the mask."""
        return self.entries[self.mask]

    def word_ids(self) -> npt.NDArray[np.int64]:
        """Ids of real entries, ascending: no special, added or filler entries."""
        excluded = self.special | self.added
        ids = [i for i, entry in enumerate(self.entries) if i not in excluded and not _FILLER_ENTRY.fullmatch(entry)]
        return np.array(ids, dtype=np.int64)

    @property
    def spells_bytes(self) -> bool:
        """Whether the entries learnt from text are bytes, each spelled by one character."""
        bytes_ = frozenset(ByteLevel.alphabet())
        return self.kind is VocabularyKind.BYTE_LEVEL or all(
            bytes_.issuperset(entry) for i, entry in enumerate(self.entries) if i not in self.added
        )

    @property
    def marks_word_starts(self) -> bool:
        """Whether pieces show where a word begins."""
        return self.pieces_include_space or any(entry.startswith(_CONTINUATION_PREFIX) for entry in self.entries)

    @property
    def pieces_include_space(self) -> bool:
        """Whether a piece that begins a word includes the space before it."""
        return self.kind is not VocabularyKind.WORDPIECE and any(e.startswith(self._space) for e in self.entries)

    def continuation_flags(self) -> npt.NDArray[np.bool_]:
        """For each id, whether it continues a word; all False where pieces do not show it.

        Where pieces include the space before a word (e.g. byte-level BPE), a text's first word has none and so counts
        as a continuation.
        """
        if not self.pieces_include_space:
            return np.array([entry.startswith(_CONTINUATION_PREFIX) for entry in self.entries], dtype=np.bool_)
        special, space = self.special, self._space
        is_continuation = [i not in special and not entry.startswith(space) for i, entry in enumerate(self.entries)]
        return np.array(is_continuation, dtype=np.bool_)

    @property
    def _space(self) -> str:
        return _BYTE_SPACE if self.spells_bytes else _SENTENCEPIECE_SPACE


def make_vocabulary(entries: tuple[str, ...], *, place: str) -> Vocabulary:
    """BERT's vocabulary from its entries.

    Args:
        place: its name in messages.

    Raises:
        VocabularyError: it lacks a special token, or holds an entry twice.
    """
    ids = {entry: i for i, entry in enumerate(entries)}
    if len(ids) < len(entries):
        repeated_entry = next(entry for i, entry in enumerate(entries) if ids[entry] != i)
        raise VocabularyError(f"{place}: the entry {repeated_entry!r} occurs twice; remove one")
    special = special_ids({"model": {"vocab": ids}, "added_tokens": []}, place=place)
    return Vocabulary(kind=VocabularyKind.WORDPIECE, entries=entries, added=frozenset(), **special)


def vocabulary_from_json(tree: Mapping[str, Any], *, place: str) -> Vocabulary:
    """The vocabulary inside the content of a `tokenizer.json`.

    Args:
        place: its name in messages.

    Raises:
        VocabularyError: its ids have gaps, it lacks a special token, or a text does not always have the same ids.
    """
    try:
        ids = entry_ids(tree)
        added = frozenset(ids[token["content"]] for token in tree["added_tokens"])
        kind = detect_kind(tree)
        require_deterministic(tree, place=place)
    except (ValueError, KeyError, TypeError) as error:
        raise VocabularyError(f"{place}: not a tokenizer with a vocabulary: {error!r}; use another") from error
    if sorted(ids.values()) != list(range(len(ids))):
        raise VocabularyError(f"{place}: its {len(ids)} ids are not 0 to {len(ids) - 1}; fix the vocabulary")
    entries = tuple(sorted(ids, key=ids.__getitem__))
    return Vocabulary(kind=kind, entries=entries, added=added, **special_ids(tree, place=place))


def read_vocabulary(tokenizer_json: Path) -> Vocabulary:
    """The vocabulary inside a `tokenizer.json`.

    Raises:
        VocabularyError: it cannot be read, or as vocabulary_from_json.
    """
    try:
        tree = json.loads(tokenizer_json.read_bytes())
    except OSError as error:
        raise VocabularyError(f"{tokenizer_json}: cannot read: {error.strerror}") from error
    except ValueError as error:
        raise VocabularyError(f"{tokenizer_json}: not JSON: {error}; prepare the data set again") from error
    return vocabulary_from_json(tree, place=str(tokenizer_json))
