"""Time the map from positions to sequences, as a run does it: some thousand positions at once."""

from __future__ import annotations

import time

import numpy as np

from bertd.bench.scale.figures import ScaleFigure
from bertd.data.batches.batches import LOCATED_AT_ONCE
from bertd.data.batches.sampler import locate_sequences

NUM_SEQUENCES = 2_400_000_000
_ROUNDS = 200
MAX_US = 1.0


def measure_sampler() -> list[ScaleFigure]:
    """The median time of a lookup in a split of NUM_SEQUENCES, far into a run."""
    times_s = []
    for number in range(_ROUNDS):
        positions = 10**12 + number * LOCATED_AT_ONCE + np.arange(LOCATED_AT_ONCE)
        begin_s = time.perf_counter()
        locate_sequences(positions, num_sequences=NUM_SEQUENCES, seed=42)
        times_s.append(time.perf_counter() - begin_s)
    value = float(np.median(times_s)) / LOCATED_AT_ONCE * 1e6
    return [ScaleFigure(f"lookup of one of {NUM_SEQUENCES / 1e9:.1f} billion sequences", value, "us", MAX_US)]
