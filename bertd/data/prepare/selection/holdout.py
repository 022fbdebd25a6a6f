"""Choose what a run validates on where too few documents have a hash that puts them into validation.

A corpus may be one book in one file, or a few documents of which none is held out, or one too short for a sequence.
Then documents are held out in the order of their hashes until there is enough text. A document that is long, measured
by what is needed, is not held out whole: pieces are cut out of it, spread evenly over it, and become documents of the
validation split; what is between them stays in training. A piece begins and ends between two sentences, except in a
text whose sentences are longer than the piece, which is cut between two tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from bertd.data.arrays import IndexArray
from bertd.run.recipe.schema import MIN_SEQUENCE_LENGTH

_ENOUGH_TOKENS = 510
"""Held-out text that is enough in any corpus: a sequence of 512 with its two special tokens."""
_WANTED_TOKENS = 4096
"""Held out where a corpus has no more than the share of documents: 32 sequences of 128, one of 4096."""
_WANTED_SHARE = 0.1
"""Largest share of the text to hold out for that, if one sequence of 128 fits into it."""
_ONE_SEQUENCE, _MAX_SHARE = 128, 0.25
"""Held out of less text: a sequence of 128, as far as a quarter of the text allows."""
MIN_TOKENS = MIN_SEQUENCE_LENGTH - 2
"""Least text of a split: that of the shortest sequence, without its two special tokens."""
_PIECE_TOKENS = 512
"""Least length of a piece where a document gives several."""
_MAX_PIECES = 8
"""Most pieces of one document."""


@dataclass(frozen=True)
class Holdout:
    """What is held out."""

    whole: range
    """Documents held out as they are."""
    cut: Mapping[int, int] = field(default_factory=dict)
    """Tokens to cut out of a document, by the document."""


def wanted_tokens(num_tokens: int, *, share: float) -> int:
    """Tokens to hold out of a text of `num_tokens`, of which `share` was asked for."""
    at_most = max(_WANTED_SHARE * num_tokens, min(_ONE_SEQUENCE, _MAX_SHARE * num_tokens))
    return max(MIN_TOKENS, int(min(max(share * num_tokens, _WANTED_TOKENS), at_most)))


def is_enough(num_held: int, num_tokens: int, *, share: float) -> bool:
    """Whether the documents with low hashes hold enough of a text of `num_tokens`, so that no other choice is made."""
    wanted = wanted_tokens(num_tokens, share=share)
    return num_held >= min(_ENOUGH_TOKENS, wanted, max(_ONE_SEQUENCE, wanted // 2))


def hold_out(lengths: IndexArray, *, share: float) -> Holdout:
    """Choose the first documents, and tokens of the long ones, until there is enough.

    Args:
        lengths: tokens of each different text, in the order of their hashes.
        share: of the documents, that was asked for.

    Returns:
        By the texts' places in `lengths`; empty if there is too little text to divide.
    """
    num_tokens = int(lengths.sum())
    wanted = left = wanted_tokens(num_tokens, share=share)
    # Text that is too short for a sequence of 128 is not cut for the sake of a few tokens.
    enough_left = wanted // 2 if wanted < _ONE_SEQUENCE else 0
    num_whole = 0
    while left > enough_left:
        length = int(lengths[num_whole])
        is_last = num_whole == len(lengths) - 1
        is_long = length > max(2 * left, _WANTED_SHARE * num_tokens)
        if (is_last or is_long) and length >= 2 * MIN_TOKENS:
            others = {place: int(lengths[place]) for place in range(num_whole, len(lengths))}
            return Holdout(range(num_whole), _divide(left, others))
        if is_last:
            break
        num_whole += 1
        left -= length
    return Holdout(range(num_whole))


def _divide(left: int, lengths: dict[int, int]) -> dict[int, int]:
    """Tokens to cut out of the first documents that are about as long as the first, in proportion to their lengths."""
    first = next(iter(lengths.values()))
    long = [document for document, length in lengths.items() if 2 * length >= first]
    chosen = long[: max(1, left // _PIECE_TOKENS)]
    total = sum(lengths[document] for document in chosen)
    return {
        document: min(max(MIN_TOKENS, round(left * lengths[document] / total)), lengths[document] // 2)
        for document in chosen
    }


def find_pieces(sentence_ends: IndexArray, *, num_held: int) -> list[tuple[int, int]]:
    """Where the held-out pieces of a document begin and end, in tokens; ascending, and training text before each.

    Args:
        sentence_ends: where each sentence ends; the last is the length of the document.
        num_held: tokens to hold out, at most half of them.
    """
    length = int(sentence_ends[-1])
    num_pieces = max(1, min(_MAX_PIECES, num_held // _PIECE_TOKENS))
    size = -(-num_held // num_pieces)
    pieces: list[tuple[int, int]] = []
    done = 0
    for number in range(1, num_pieces + 1):
        end = _sentence_end_before(sentence_ends, length * number // num_pieces, tolerance=size // 2, after=done + size)
        begin = _sentence_end_before(sentence_ends, max(done + 1, end - size), tolerance=size, after=done)
        pieces.append((begin, end))
        done = end
    return pieces


def _sentence_end_before(sentence_ends: IndexArray, at: int, *, tolerance: int, after: int) -> int:
    """The last end of a sentence up to `at`; `at` itself if that is too far away, or not `after`."""
    index = int(np.searchsorted(sentence_ends, at, side="right")) - 1
    end = int(sentence_ends[index]) if index >= 0 else 0
    return end if end > after and at - end <= tolerance else at
