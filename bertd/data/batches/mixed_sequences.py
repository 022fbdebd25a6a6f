"""The sequences of several data sets in one order, each read as often as its weight says.

With weights that sum to W, each W positions in a row are a cycle: a permutation of W slots, of which each set has as
many as its weight. A position's cycle and its place among its set's slots number the sequences that the set has given
before, and that number goes through the set's own epochs and permutations. So the share of each set is exact after
every cycle, and a position is found without any that came before it, as in a single set.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from bertd.data.arrays import IndexArray
from bertd.data.batches.rows import TokenSequences, open_sequences
from bertd.data.batches.sampler import VALIDATION_EPOCH, LocatedSequences, check_num_sequences, locate_sequences
from bertd.data.dataset.mixture import DataMixture


class Sequences(Protocol):
    """Numbered rows of tokens, and the order in which a run reads them."""

    @property
    def num_sequences(self) -> int: ...

    def rows(self, indices: IndexArray) -> IndexArray:
        """(n, S) int64 token ids of the rows in `indices`."""

    def locate(self, positions: IndexArray, *, seed: int) -> LocatedSequences:
        """Epoch and sequence of each position of a run."""

    def choose_fixed(self, max_sequences: int) -> LocatedSequences:
        """At most so many sequences for validation, the same for every run and number of ranks."""


@dataclass(frozen=True)
class MixedSequences:
    """Sequences of several data sets, numbered one set after the other."""

    members: tuple[TokenSequences, ...]
    weights: tuple[int, ...]
    seeds: tuple[int, ...]
    """Of each member's own order, XORed to the run's: from its fingerprint, so that no other member changes it."""

    @cached_property
    def num_sequences(self) -> int:
        """Over all members."""
        return int(self._begins[-1])

    @cached_property
    def _begins(self) -> IndexArray:
        """The number at which each member begins, and the number of all."""
        begins: IndexArray = np.cumsum([0, *(member.num_sequences for member in self.members)])
        check_num_sequences(int(begins[-1]))
        return begins

    @cached_property
    def _slots(self) -> IndexArray:
        """The slot of a cycle at which each member's begin, and the number of all."""
        slots: IndexArray = np.cumsum([0, *self.weights])
        return slots

    def rows(self, indices: IndexArray) -> IndexArray:
        """(n, S) int64 token ids of the rows in `indices`.

        Raises:
            ShardError: a token file changed, was cut short or cannot be read.
        """
        numbers = np.searchsorted(self._begins, indices, side="right") - 1
        rows = np.empty((len(indices), self.members[0].length), dtype=np.int64)
        for number, member in enumerate(self.members):
            chosen = np.flatnonzero(numbers == number)
            if len(chosen):
                rows[chosen] = member.rows(indices[chosen] - self._begins[number])
        return rows

    def locate(self, positions: IndexArray, *, seed: int) -> LocatedSequences:
        """Epoch, of its own data set, and number of each position's sequence."""
        # 1. The cycle of each position, and its slot in the cycle's permutation.
        in_cycle = locate_sequences(positions, num_sequences=int(self._slots[-1]), seed=seed)
        numbers = np.searchsorted(self._slots, in_cycle.indices, side="right") - 1
        epochs, indices = np.empty_like(in_cycle.epochs), np.empty_like(in_cycle.indices)
        for number, member in enumerate(self.members):
            chosen = np.flatnonzero(numbers == number)
            # 2. How many sequences of this member come before, in whole cycles and in slots of this one.
            before = in_cycle.epochs[chosen] * self.weights[number] + in_cycle.indices[chosen] - self._slots[number]
            # 3. The member's own order.
            located = locate_sequences(before, num_sequences=member.num_sequences, seed=seed ^ self.seeds[number])
            epochs[chosen], indices[chosen] = located.epochs, located.indices + self._begins[number]
        return LocatedSequences(epochs=epochs, indices=indices)

    def choose_fixed(self, max_sequences: int) -> LocatedSequences:
        """Sequences spread evenly over each member, as many as its share, but one at least.

        A member with too few is read again with other masks.
        """
        total = min(max_sequences, self.num_sequences)
        shares = [max(1, total * weight // int(self._slots[-1])) for weight in self.weights]
        epochs, indices = [], []
        for number, (member, count) in enumerate(zip(self.members, shares, strict=True)):
            once = min(count, member.num_sequences)
            spread = np.arange(once, dtype=np.int64) * member.num_sequences // once
            repeats, places = np.divmod(np.arange(count, dtype=np.int64), once)
            epochs.append(VALIDATION_EPOCH - repeats)
            indices.append(spread[places] + self._begins[number])
        return LocatedSequences(epochs=np.concatenate(epochs), indices=np.concatenate(indices))


def open_mixture(mixture: DataMixture, *, split: str, sequence_length: int, packing: str) -> Sequences:
    """The rows of a split of a recipe's data; see `open_sequences`.

    Raises:
        ShardError: a split has no complete row, or the files do not match the manifest.
        ValueError: no such split or packing, or too many sequences.
    """
    members = tuple(
        open_sequences(dataset, split=split, sequence_length=sequence_length, packing=packing)
        for dataset in mixture.sets
    )
    if len(members) == 1:
        return members[0]
    seeds = tuple(int(dataset.fingerprint[:16], 16) for dataset in mixture.sets)
    return MixedSequences(members=members, weights=mixture.weights, seeds=seeds)
