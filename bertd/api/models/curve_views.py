"""Curves and scores of runs."""

from __future__ import annotations

from typing import Literal

from bertd.records import (
    Record,
    ScoreRecord,
)

SeriesAxis = Literal["progress", "step", "sequences", "tokens", "charged_s", "wall_s"]
"""progress is a share of the budget; tokens count padding; wall_s is since the first start, pauses included."""


class PositionsView(Record):
    """Where a run was on every axis at some times, which rise: the lists are of the same length."""

    began_t: float
    """Unix seconds at which wall_s is 0."""
    t: list[float]
    """Unix seconds."""
    charged_s: list[float]
    progress: list[float]
    step: list[int]
    """Lower than before where steps were repeated after a restart, as `sequences`."""
    sequences: list[int]


class SeriesView(Record):
    """Curves of one run, downsampled to about `points` bins; the smallest and largest value of each bin are kept."""

    run_id: str
    x: SeriesAxis
    columns: dict[str, list[tuple[float, float]]]
    """Metric to [x, y] pairs in order of x; y is NaN at a pause, a restart or a NaN value."""
    smoothed: dict[str, list[tuple[float, float]]] = {}
    """The same, smoothed, if that was asked for: the mean of the values at and before x, weighted by 2^(-d/h), where d
    is their distance in x and h the half-life that was asked for."""
    records_per_bin: int = 1
    """Step records of which at most two were kept, before the thinning to `points`; 1 where all were."""
    positions: PositionsView | None = None
    """About `points` positions over the whole run, if they were asked for. The ends of all time that was not charged
    are among them."""


class ScoreView(Record):
    """One score with the job it came from."""

    job_id: int
    run_id: str
    score: ScoreRecord
    dropped_after: int | None = None
    """Seeds after which a grid's halving dropped the trial's setting; None if it did not."""
