"""Map each position of a run to a sequence: a pure function of the seed that stores no permutation.

A position is the number of sequences consumed, over all ranks, since the run began. Position // num_sequences is the
epoch, and the remainder goes through that epoch's permutation: a Feistel network over left x right >= num_sequences
cells (Black & Rogaway 2002, "Ciphers with Arbitrary Finite Domains", method 3), applied again until the result is a
sequence that exists (cycle walking). Since left x right is close to num_sequences, once is nearly always enough. So a
run resumes at any position at once, and neither the number of ranks nor the batch size changes what is trained on.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from bertd.data.arrays import HashArray, IndexArray, mix64

_NUM_ROUNDS = 6
"""Four already look random to an observer who cannot choose the inputs; each costs under 10 ns a sequence."""

MAX_SEQUENCES = 1 << 40
"""A split has fewer sequences than this, so that an epoch and a sequence fit into one int64 key."""

VALIDATION_EPOCH = (1 << 22) - 1
"""Epoch number of the fixed validation masks; no training run reaches it."""


@dataclass(frozen=True)
class LocatedSequences:
    """Epoch and sequence of each position."""

    epochs: IndexArray
    indices: IndexArray
    """Sequence numbers, 0 .. num_sequences - 1."""

    @cached_property
    def keys(self) -> IndexArray:
        """One number for each (epoch, sequence): what the masks depend on."""
        return sequence_keys(epochs=self.epochs, indices=self.indices)


def sequence_keys(*, epochs: IndexArray | int, indices: IndexArray) -> IndexArray:
    """One int64 number for each (epoch, sequence)."""
    return np.asarray(epochs, dtype=np.int64) * MAX_SEQUENCES + indices


def rank_positions(*, first: int, global_batch: int, rank: int, world_size: int) -> IndexArray:
    """The positions of one rank in the global batch that starts at `first`: a contiguous slice.

    The slices are equally long if the batch divides evenly; otherwise the first ranks have one more.
    """
    share, num_longer = divmod(global_batch, world_size)
    start = first + rank * share + min(rank, num_longer)
    return np.arange(start, start + share + (rank < num_longer), dtype=np.int64)


def check_num_sequences(num_sequences: int) -> None:
    """Check that an epoch and a sequence fit into one key.

    Raises:
        ValueError: there are too many sequences, or none.
    """
    if not 1 <= num_sequences < MAX_SEQUENCES:
        raise ValueError(f"{num_sequences} sequences; set at least 1 and fewer than {MAX_SEQUENCES}")


def locate_sequences(positions: IndexArray, *, num_sequences: int, seed: int) -> LocatedSequences:
    """Epoch and sequence of each position.

    Raises:
        ValueError: num_sequences is out of range.
    """
    check_num_sequences(num_sequences)
    # 1. Split each position into epoch and offset. Each epoch has its own keys, and so its own permutation.
    epochs, offsets = np.divmod(np.asarray(positions, dtype=np.int64), num_sequences)
    epoch_keys = mix64(epochs.astype(np.uint64) ^ mix64(np.full(1, seed, dtype=np.uint64)))
    indices = offsets.astype(np.uint64)
    # 2. Lay the offsets out as a nearly square table of left x right cells, with fewer than `left` cells to spare.
    left = max(1, math.isqrt(num_sequences - 1) + 1)
    right = -(-num_sequences // left)
    # 3. Permute. What lands on a spare cell is permuted again; its cycle leads back to a sequence in the end, since
    #    it began at one.
    walking = np.arange(len(indices))
    while len(walking):
        indices[walking] = _feistel(indices[walking], keys=epoch_keys[walking], left=left, right=right)
        walking = walking[indices[walking] >= num_sequences]
    return LocatedSequences(epochs=epochs, indices=indices.astype(np.int64))


def _feistel(values: HashArray, *, keys: HashArray, left: int, right: int) -> HashArray:
    """Permute 0 .. left x right - 1: each round adds a hash of one half to the other."""
    # Value = row a, column b. A round changes one half by a hash of the other, which it leaves unchanged: the sum can
    # be undone, so a round is a permutation. The round's number makes its hash differ from the others'.
    a, b = np.divmod(values, np.uint64(right))
    for number in range(_NUM_ROUNDS):
        if number % 2 == 0:
            a = (a + mix64(keys ^ (b << np.uint64(8) | np.uint64(number))) % np.uint64(left)) % np.uint64(left)
        else:
            b = (b + mix64(keys ^ (a << np.uint64(8) | np.uint64(number))) % np.uint64(right)) % np.uint64(right)
    return a * np.uint64(right) + b
