"""Greedy packing of whole sentences: which range of the stream each row holds.

Each row begins where the one before ends, so a document is packed row by row. Many documents advance together, one row
of each an array operation; the few longest documents of a group are then finished one by one, since an array operation
on a handful of documents costs more than a loop.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from bertd.data.arrays import IndexArray, mix64

SHORT_SHARE = 0.1
"""Share of rows with a shorter target length. Source: Devlin et al. 2019's code, short_seq_prob."""
MIN_TARGET_TOKENS = 2
"""Shortest target length. Source: the same code."""

_64_BITS = (1 << 64) - 1
_DOCUMENTS_PER_GROUP = 1 << 16
_MIN_VECTORIZED_DOCUMENTS = 48
"""Documents below which a loop is faster than array operations (measured: 22 us an operation, 0.5 us a row)."""


class Offsets(Protocol):
    """Ascending numbers, in memory or in a file."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: Any, /) -> Any: ...


@dataclass(frozen=True)
class SentenceSpans:
    """Ranges of the stream, ascending."""

    starts: IndexArray
    lengths: npt.NDArray[np.uint16]

    @property
    def num_sequences(self) -> int:
        return len(self.starts)

    def locate(self, indices: IndexArray) -> tuple[IndexArray, IndexArray]:
        """First token and number of tokens of each row in `indices`."""
        return self.starts[indices], self.lengths[indices].astype(np.int64)


def pack_sentences(*, documents: Offsets, sentences: Offsets, width: int) -> SentenceSpans:
    """Pack every document.

    Args:
        documents: where each begins in the stream, and the stream's length; a [SEP] closes each.
        sentences: where each begins, and the stream's length.
        width: most tokens of text in a row.
    """
    starts: list[IndexArray] = [np.empty(0, dtype=np.int64)]
    ends: list[IndexArray] = [np.empty(0, dtype=np.int64)]
    for first in range(0, len(documents) - 1, _DOCUMENTS_PER_GROUP):
        bounds = np.asarray(documents[first : first + _DOCUMENTS_PER_GROUP + 1])
        low, high = (bisect_left(sentences, bound) for bound in bounds[[0, -1]])
        # The last group's bounds end with the stream's length, the others' with the start of the next sentence.
        group = np.asarray(sentences[low : high + 1])
        group_starts, group_ends = _pack_group(bounds[:-1], bounds[1:] - 1, sentences=group, width=width)
        order = np.argsort(group_starts)
        starts.append(group_starts[order])
        ends.append(group_ends[order])
    all_starts = np.concatenate(starts)
    # A row is shorter than 65,536 tokens, and there may be tens of millions of rows.
    lengths = (np.concatenate(ends) - all_starts).astype(np.uint16)
    return SentenceSpans(starts=all_starts, lengths=lengths)


def _pack_group(
    at: IndexArray, until: IndexArray, *, sentences: IndexArray, width: int
) -> tuple[IndexArray, IndexArray]:
    """Starts and ends of the rows of the documents from `at` to `until`, in no order."""
    starts, ends = [], []
    is_unfinished = at < until
    at, until = at[is_unfinished], until[is_unfinished]
    while len(at) > _MIN_VECTORIZED_DOCUMENTS:
        row_ends = _row_ends(at, until, sentences=sentences, width=width)
        starts.append(at)
        ends.append(row_ends)
        is_unfinished = row_ends < until
        at, until = row_ends[is_unfinished], until[is_unfinished]
    rest = [
        row
        for span in zip(at.tolist(), until.tolist(), strict=True)
        for row in _pack_long_document(*span, sentences, width)
    ]
    starts.append(np.array([start for start, _ in rest], dtype=np.int64))
    ends.append(np.array([end for _, end in rest], dtype=np.int64))
    return np.concatenate(starts), np.concatenate(ends)


def _target_lengths(at: IndexArray, width: int) -> IndexArray:
    """Target length of each row: a hash of where it begins, so that packing is repeatable."""
    hashed = mix64(at.astype(np.uint64))
    short = MIN_TARGET_TOKENS + (
        (hashed & np.uint64(0xFFFFFFFF)) * np.uint64(max(1, width - MIN_TARGET_TOKENS + 1)) >> np.uint64(32)
    )
    is_short = hashed >> np.uint64(40) < np.uint64(round(SHORT_SHARE * 2**24))
    return np.where(is_short, np.minimum(short, np.uint64(width)), np.uint64(width)).astype(np.int64)


def _target_length(at: int, width: int) -> int:
    """`_target_lengths` of one row, in Python integers: array operations of length one take twenty times as long."""
    hashed = (at + 0x9E3779B97F4A7C15) & _64_BITS
    hashed = (hashed ^ hashed >> 30) * 0xBF58476D1CE4E5B9 & _64_BITS
    hashed = (hashed ^ hashed >> 27) * 0x94D049BB133111EB & _64_BITS
    hashed ^= hashed >> 31
    if hashed >> 40 >= round(SHORT_SHARE * 2**24):
        return width
    return min(width, MIN_TARGET_TOKENS + ((hashed & 0xFFFFFFFF) * max(1, width - MIN_TARGET_TOKENS + 1) >> 32))


def _row_ends(at: IndexArray, until: IndexArray, *, sentences: IndexArray, width: int) -> IndexArray:
    """Where the rows that begin at `at` end."""
    limits = at + _target_lengths(at, width)
    whole_sentence_ends = sentences[np.searchsorted(sentences, limits, side="right") - 1]
    after = sentences[np.minimum(np.searchsorted(sentences, at, side="right"), len(sentences) - 1)]
    # No complete sentence fits the target length: take one anyway, cut to the row's width.
    first_sentence_ends = np.minimum(np.minimum(after, until), at + width)
    return np.where(
        limits >= until, until, np.where(whole_sentence_ends > at, whole_sentence_ends, first_sentence_ends)
    )


def _pack_long_document(at: int, until: int, sentences: IndexArray, width: int) -> list[tuple[int, int]]:
    """Pack one long document, row by row."""
    low, high = np.searchsorted(sentences, [at, until])
    # The first row may begin inside a sentence that an earlier row cut.
    bounds = [at, *sentences[low:high].tolist(), until]
    rows = []
    while at < until:
        limit = at + _target_length(at, width)
        if limit >= until:
            end = until
        else:
            index = bisect_right(bounds, limit) - 1
            end = bounds[index] if bounds[index] > at else min(bounds[bisect_right(bounds, at)], at + width)
        rows.append((at, end))
        at = end
    return rows
