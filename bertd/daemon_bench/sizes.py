"""How much each part of the bench does: as its figures are meant, or as little as shows that it works."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Sizes:
    """Numbers of things, and seconds of measuring."""

    idle_s: float
    status_calls: int
    clients: int
    clients_s: float
    streams: int
    streams_s: float
    queued_jobs: int
    ticks: int
    finished_runs: int
    starts: int
    month_days: float
    """Of one record a second."""
    simulated_days: float
    """Of a queue, for each seed."""
    seeds: int


FULL = Sizes(
    idle_s=60,
    status_calls=20,
    clients=50,
    clients_s=30,
    streams=300,
    streams_s=30,
    queued_jobs=10_000,
    ticks=60,
    finished_runs=1_000,
    starts=3,
    month_days=30,
    simulated_days=20,
    seeds=5,
)
QUICK = Sizes(
    idle_s=1,
    status_calls=1,
    clients=3,
    clients_s=1.5,
    streams=3,
    streams_s=2.5,
    queued_jobs=30,
    ticks=3,
    finished_runs=5,
    starts=1,
    month_days=0.02,
    simulated_days=0.5,
    seeds=1,
)
