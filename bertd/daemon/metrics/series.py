"""Read the curves of a run: from memory, or, for a narrow range, again from its journal in full resolution.

A part of the journal is read in pieces, between which other requests are served, and only if it is small: so the cost
of an answer has a bound that does not depend on the length of the run.
"""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from pathlib import Path

from bertd.api.models import PositionsView, SeriesAxis
from bertd.daemon.metrics.metrics_follower import MetricsFollower
from bertd.metrics.curve_smoothing import HALF_LIVES_BEFORE
from bertd.metrics.curves import RunCurves
from bertd.metrics.journal_index import Section
from bertd.records import RollbackRecord, StartRecord, StepRecord, ValidationRecord
from bertd.run.journal import JournalReader

MAX_SECTION_BYTES = 8 << 20
"""Of the journal, read again for one answer: some 25,000 step records, and half a second."""
_PIECE_BYTES = 1 << 16


@dataclass(frozen=True)
class SeriesRequest:
    """What is asked for of a run's curves."""

    columns: list[str]
    axis: SeriesAxis
    points: int
    """About this many for each column."""
    low: float = -math.inf
    high: float = math.inf
    half_life: float | None = None
    """Of the smoothing, in the unit of x; None for none."""
    has_positions: bool = False
    """Whether the positions of the whole run are wanted, too."""


@dataclass(frozen=True)
class Series:
    """Curves as pairs of x and y, in order of x."""

    columns: dict[str, list[tuple[float, float]]]
    smoothed: dict[str, list[tuple[float, float]]]
    records_per_bin: int
    positions: PositionsView | None = None


async def read_series(
    follower: MetricsFollower, curves: RunCurves, request: SeriesRequest, *, section_lock: asyncio.Lock
) -> Series:
    """The curves of a run that was read by `follower`.

    Args:
        section_lock: one journal at a time is read again, so that many such requests do not slow down all else.

    Raises:
        RunFolderError: the journal cannot be read.
    """
    positions = curves.read_positions(points=request.points) if request.has_positions else None
    section = _find_section(follower, curves, request)
    if section is not None:
        async with section_lock:
            curves = await _read_section(follower.journal, section, curves)
    columns, axis, points, low, high = request.columns, request.axis, request.points, request.low, request.high
    raw = curves.read(columns=columns, axis=axis, points=points, low=low, high=high)
    smoothed: dict[str, list[tuple[float, float]]] = {}
    if (half_life := request.half_life) is not None:
        smoothed = curves.read_smoothed(
            columns=columns, axis=axis, points=points, half_life=half_life, low=low, high=high
        )
    return Series(columns=raw, smoothed=smoothed, records_per_bin=curves.records_per_bin, positions=positions)


def _find_section(follower: MetricsFollower, curves: RunCurves, request: SeriesRequest) -> Section | None:
    """The part of the journal that shows more than what is in memory; None if none does, or it is too large."""
    is_whole = request.low == -math.inf and request.high == math.inf
    if is_whole or curves.records_per_bin == 1 or (request.axis == "progress" and not curves.can_place_past_points):
        return None
    low = request.low - HALF_LIVES_BEFORE * (request.half_life or 0.0)
    section = curves.index.find(curves.position_to_x(request.axis), low=low, high=request.high, end=follower.offset)
    return None if section is None or section.size_bytes > MAX_SECTION_BYTES else section


async def _read_section(journal: Path, section: Section, whole: RunCurves) -> RunCurves:
    curves = whole.empty_copy()
    reader = JournalReader(journal, offset=section.begin)
    while reader.offset < section.end and (records := reader.read_piece(limit_bytes=_PIECE_BYTES)):
        for record in records:
            if isinstance(record, StepRecord | ValidationRecord | StartRecord | RollbackRecord):
                curves.add_points(record)
        await asyncio.sleep(0)
    return curves
