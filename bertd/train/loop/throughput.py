"""Throughput between two reports, as rank 0 measures it."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass

import torch

from bertd.run.machine.processes import peak_memory_bytes

_STEP_WINDOW = 20


@dataclass(frozen=True)
class Throughput:
    """Speed since the last reading."""

    sequences_per_s: float
    """Over all ranks."""
    data_wait: float
    """Share of the time spent waiting for data, 0..1."""


class ThroughputMeter:
    """Counts sequences and seconds of training; what is not training is excluded, although it is charged.

    That is validations, saves, and what the first step compiles: counted, it would be the duration that is expected of
    the next steps, which a timed run then has no time for.
    """

    def __init__(self) -> None:
        self._began_s = self._step_began_s = time.monotonic()
        self._sequences = 0
        self._wait_before_s = 0.0
        self._step_seconds: deque[float] = deque(maxlen=_STEP_WINDOW)

    def exclude_idle_time(self, *, training_s: float = 0.0) -> None:
        """Exclude the time since the last step, which was not training but for `training_s` of it."""
        idle_s = max(0.0, time.monotonic() - self._step_began_s - training_s)
        self._began_s += idle_s
        self._step_began_s += idle_s

    def count_step(self, sequences: int) -> None:
        """Count one finished update; `sequences` is over all ranks."""
        now_s = time.monotonic()
        self._step_seconds.append(now_s - self._step_began_s)
        self._step_began_s = now_s
        self._sequences += sequences

    @property
    def step_s(self) -> float:
        """Median duration of the latest steps; 0 before the first."""
        ordered = sorted(self._step_seconds)
        return ordered[len(ordered) // 2] if ordered else 0.0

    def read(self, *, wait_s: float) -> Throughput:
        """Speed since the last reading; `wait_s` is the total time waited for data so far."""
        elapsed_s = max(1e-9, time.monotonic() - self._began_s)
        throughput = Throughput(
            sequences_per_s=self._sequences / elapsed_s,
            data_wait=min(1.0, (wait_s - self._wait_before_s) / elapsed_s),
        )
        self._began_s, self._sequences, self._wait_before_s = time.monotonic(), 0, wait_s
        return throughput


def memory_bytes(device: torch.device) -> int:
    """Peak memory of this process: on a GPU what the allocator held, on CPU the resident set."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return peak_memory_bytes()
