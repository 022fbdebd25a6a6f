"""Rows of exactly S tokens out of a data set: [CLS], up to S - 2 tokens, [SEP].

full: contiguous windows of the stream, across the ends of documents, which their own [SEP] marks. No padding, and a
    row's place follows from its number. A last piece shorter than a window is left out.
sentences: as many whole sentences of one document as fit, then [PAD]. What does not fit begins the next row, where
    24hBERT's pipeline cut it off. A sentence longer than a row is cut and continues in the next row. A tenth of the
    rows has a random shorter target length, so that the model is trained on short inputs, too.

Source: Devlin et al. 2019, appendix A.2 (packing, short_seq_prob = 0.1).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, get_args

import numpy as np

from bertd.data.arrays import IndexArray
from bertd.data.batches.packing import SentenceSpans, pack_sentences
from bertd.data.batches.sampler import VALIDATION_EPOCH, LocatedSequences, locate_sequences
from bertd.data.dataset.shards import DataSet
from bertd.errors import ShardError
from bertd.run.dataset_manifest import (
    MAX_PACKED_SEQUENCES,
    SplitName,
    count_sequences,
    no_sequence_message,
    too_many_to_pack_message,
)

Packing = Literal["full", "sentences"]


class Spans(Protocol):
    """Which range of the stream each row holds."""

    @property
    def num_sequences(self) -> int: ...

    def locate(self, indices: IndexArray) -> tuple[IndexArray, IndexArray]:
        """First token and number of tokens of each row in `indices`."""


@dataclass(frozen=True)
class WindowSpans:
    """Contiguous windows: nothing is stored."""

    num_sequences: int
    width: int

    def locate(self, indices: IndexArray) -> tuple[IndexArray, IndexArray]:
        return indices * self.width, np.full(len(indices), self.width)


class TokenSequences:
    """Numbered rows of token ids of one split."""

    def __init__(self, dataset: DataSet, *, split: SplitName, length: int, spans: Spans) -> None:
        self._tokens = dataset.split(split).tokens
        self._facts = dataset.manifest.tokenizer
        self._spans = spans
        self.length = length
        """S: tokens in a row, [CLS] and [SEP] included."""
        self.num_sequences = spans.num_sequences

    def rows(self, indices: IndexArray) -> IndexArray:
        """(n, S) int64 token ids of the rows in `indices`.

        Raises:
            ShardError: the token file changed, was cut short or cannot be read.
        """
        starts, lengths = self._spans.locate(indices)
        rows = np.full((len(indices), self.length), self._facts.pad, dtype=np.int64)
        rows[:, 0] = self._facts.cls
        text = self._tokens.read(starts, lengths, width=self.length - 2)
        np.copyto(rows[:, 1:-1], text, where=np.arange(self.length - 2) < lengths[:, None])
        rows[np.arange(len(rows)), lengths + 1] = self._facts.sep
        return rows

    def locate(self, positions: IndexArray, *, seed: int) -> LocatedSequences:
        """Epoch and sequence of each position of a run."""
        return locate_sequences(positions, num_sequences=self.num_sequences, seed=seed)

    def choose_fixed(self, max_sequences: int) -> LocatedSequences:
        """At most so many sequences for validation, spread evenly."""
        total = min(max_sequences, self.num_sequences)
        indices = np.arange(total, dtype=np.int64) * self.num_sequences // total
        return LocatedSequences(epochs=np.full(total, VALIDATION_EPOCH), indices=indices)


def open_sequences(dataset: DataSet, *, split: str, sequence_length: int, packing: str) -> TokenSequences:
    """The rows of a split.

    Args:
        split: train or validation.
        sequence_length: S, [CLS] and [SEP] included.
        packing: full or sentences.

    Raises:
        ShardError: the split has no complete row, too many for the packing, or files that the manifest does not match.
        ValueError: no such split or packing.
    """
    if packing not in get_args(Packing) or split not in get_args(SplitName):
        raise ValueError(f"split {split!r}, packing {packing!r}: one is unknown")
    name: SplitName = "train" if split == "train" else "validation"
    counts = dataset.manifest.splits[name]
    width = sequence_length - 2
    spans: WindowSpans | SentenceSpans
    if packing == "full":
        spans = WindowSpans(num_sequences=counts.stream_tokens // width, width=width)
    else:
        least = count_sequences(counts, sequence_length=sequence_length, packing=packing)
        if least > MAX_PACKED_SEQUENCES:
            raise ShardError(too_many_to_pack_message(dataset.root, split=name, num_sequences=least))
        arrays = dataset.split(name)
        spans = pack_sentences(documents=arrays.documents, sentences=arrays.sentences, width=width)
    if not spans.num_sequences:
        raise ShardError(no_sequence_message(dataset.root, split=name, counts=counts, sequence_length=sequence_length))
    return TokenSequences(dataset, split=name, length=sequence_length, spans=spans)
