"""Which sequence stands at which position: a pure function of the seed, in no memory at all.

A position is the number of sequences consumed, over all ranks, since the run began. Position // num_sequences is the
epoch, and the rest goes through a permutation of that epoch: a Feistel network over a x b >= num_sequences cells
(Black & Rogaway 2002, "Ciphers with Arbitrary Finite Domains", method 3), walked until it lands on a sequence that
exists. Since a x b is chosen next to num_sequences, nearly every walk has one step. So a run is resumed at any
position at once, and neither the number of ranks nor the size of a batch changes what is trained on.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from bertd.data.arrays import HashArray, IndexArray, mix64

_NUM_ROUNDS = 6
"""Four already pass for random to an observer who cannot choose his questions; each costs under 10 ns a sequence."""

MAX_SEQUENCES = 1 << 40
"""Sequences in a split, so that an epoch and a sequence fit one key."""


@dataclass(frozen=True)
class LocatedSequences:
    """Where positions lead; both arrays as long as the positions."""

    epochs: IndexArray
    indices: IndexArray
    """Sequence numbers, 0 .. num_sequences - 1."""

    @property
    def keys(self) -> IndexArray:
        """One number for each (epoch, sequence): what the masks depend on."""
        return sequence_keys(epochs=self.epochs, indices=self.indices)


def sequence_keys(*, epochs: IndexArray | int, indices: IndexArray) -> IndexArray:
    """One number for each (epoch, sequence)."""
    return np.asarray(epochs, dtype=np.int64) * MAX_SEQUENCES + indices


def rank_positions(*, first: int, global_batch: int, rank: int, world_size: int) -> IndexArray:
    """The positions of one rank in the global batch that starts at `first`: a contiguous slice.

    The ranks' slices are of equal length where that comes out even; else the first ones have one more.
    """
    share, num_longer = divmod(global_batch, world_size)
    start = first + rank * share + min(rank, num_longer)
    return np.arange(start, start + share + (rank < num_longer), dtype=np.int64)


def locate_sequences(positions: IndexArray, *, num_sequences: int, seed: int) -> LocatedSequences:
    """Epoch and sequence of each position.

    Raises:
        ValueError: there is no sequence, or too many.
    """
    if not 1 <= num_sequences < MAX_SEQUENCES:
        raise ValueError(f"{num_sequences} sequences; between 1 and {MAX_SEQUENCES} can be put in order")
    epochs, offsets = np.divmod(np.asarray(positions, dtype=np.int64), num_sequences)
    epoch_keys = mix64(epochs.astype(np.uint64) ^ mix64(np.full(1, seed, dtype=np.uint64)))
    indices = offsets.astype(np.uint64)
    left = max(1, math.isqrt(num_sequences - 1) + 1)
    right = -(-num_sequences // left)
    walking = np.arange(len(indices))
    while len(walking):
        indices[walking] = _feistel(indices[walking], keys=epoch_keys[walking], left=left, right=right)
        walking = walking[indices[walking] >= num_sequences]
    return LocatedSequences(epochs=epochs, indices=indices.astype(np.int64))


def _feistel(values: HashArray, *, keys: HashArray, left: int, right: int) -> HashArray:
    """Permute 0 .. left x right - 1: each round adds a hash of one half to the other."""
    a, b = np.divmod(values, np.uint64(right))
    for number in range(_NUM_ROUNDS):
        if number % 2 == 0:
            a = (a + mix64(keys ^ (b << np.uint64(8) | np.uint64(number))) % np.uint64(left)) % np.uint64(left)
        else:
            b = (b + mix64(keys ^ (a << np.uint64(8) | np.uint64(number))) % np.uint64(right)) % np.uint64(right)
    return a * np.uint64(right) + b
