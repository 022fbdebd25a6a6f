"""One curve in bounded memory: bins that keep the smallest, the largest and the mean value, merged in pairs when there
are many. A gap (a pause or a restart) is a separate bin with NaN.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from itertools import pairwise
from operator import add

from bertd.records import Record

MAX_BINS = 1024
"""Per column; at a record a second, a day's curve has bins of about two minutes."""

MIN_UNCHARGED_S = 5.0
"""A shorter time that is not charged is not kept as such: clocks differ by less."""


@dataclass(frozen=True, slots=True)
class Position:
    """Where a run was when a value was measured; the values of one record share it."""

    t: float
    """Unix seconds."""
    charged_s: float
    step: int
    sequences: int
    spent: float
    """In the budget's unit."""


@dataclass(frozen=True, slots=True)
class Point:
    """One value at its position."""

    at: Position
    y: float


PositionToX = Callable[[Position], float]


@dataclass(frozen=True, slots=True)
class BinMean:
    """The mean of a bin's values, at its newer extreme."""

    x: float
    mean: float
    count: int


@dataclass(slots=True)
class _Bin:
    low: Point
    high: Point
    count: int
    total: float
    """Sum of the values."""

    def is_gap(self) -> bool:
        return math.isnan(self.low.y)

    def absorb(self, other: _Bin) -> None:
        if other.low.y < self.low.y:
            self.low = other.low
        if other.high.y > self.high.y:
            self.high = other.high
        self.count += other.count
        self.total += other.total

    def points(self) -> list[Point]:
        """One or two points, in order of time."""
        if self.low is self.high:
            return [self.low]
        return sorted((self.low, self.high), key=lambda point: point.at.charged_s)


class CurveState(Record):
    """A curve as it is stored: a column of numbers per field of its bins' points."""

    capacity: int
    """Points that a bin takes."""
    counts: list[int]
    totals: list[float]
    t: list[float]
    charged_s: list[float]
    steps: list[int]
    sequences: list[int]
    spent: list[float]
    values: list[float]
    """Of these six lists two entries belong to each bin: its smallest and its largest point."""


class DecimatedCurve:
    """One column of one run."""

    def __init__(self, state: CurveState | None = None) -> None:
        self._bins: list[_Bin] = [] if state is None else _stored_bins(state)
        self.capacity = 1 if state is None else state.capacity
        """Points that a bin takes; 1 while every point is kept."""

    def state(self) -> CurveState:
        """The curve as it is stored."""
        points = [point for each in self._bins for point in (each.low, each.high)]
        return CurveState(
            capacity=self.capacity,
            counts=[each.count for each in self._bins],
            totals=[each.total for each in self._bins],
            t=[point.at.t for point in points],
            charged_s=[point.at.charged_s for point in points],
            steps=[point.at.step for point in points],
            sequences=[point.at.sequences for point in points],
            spent=[point.at.spent for point in points],
            values=[point.y for point in points],
        )

    def add(self, at: Position, y: float) -> None:
        """Append a point; NaN makes a gap."""
        last = self._bins[-1] if self._bins else None
        is_gap = y != y
        if last is None or is_gap or last.is_gap() or last.count >= self.capacity:
            if is_gap and last is not None and last.is_gap():
                return
            point = Point(at, y)
            self._bins.append(_Bin(low=point, high=point, count=1, total=y))
            if len(self._bins) > MAX_BINS:
                self._halve_resolution()
            return
        # As _Bin.absorb, without an object for a value that is neither extreme: most are not.
        if y < last.low.y:
            last.low = Point(at, y)
        elif y > last.high.y:
            last.high = Point(at, y)
        last.count += 1
        last.total += y

    def extend(self, values: Sequence[float], position: Callable[[int], Position]) -> None:
        """Append many points, as `add` one after the other; most are only compared, and have no position made.

        Args:
            values: what is not finite makes a gap.
            position: that of an index into `values`; called for those that are kept.
        """
        begin = 0
        while begin < len(values):
            last = self._bins[-1] if self._bins else None
            # A bin of two that were merged may be fuller than others.
            room = 0 if last is None or last.is_gap() else max(0, self.capacity - last.count)
            section = values[begin : begin + room]
            if last is None or not section or not all(map(math.isfinite, section)):
                y = values[begin]
                self.add(position(begin), y if math.isfinite(y) else math.nan)
                begin += 1
                continue
            low, high = min(section), max(section)
            if low < last.low.y:
                last.low = Point(position(begin + section.index(low)), low)
            if high > last.high.y:
                last.high = Point(position(begin + section.index(high)), high)
            last.count += len(section)
            # Not sum(), which since Python 3.12 rounds in another way than `add`.
            last.total = reduce(add, section, last.total)
            begin += len(section)

    def _halve_resolution(self) -> None:
        self.capacity *= 2
        merged = _merge_pairs(self._bins)
        if len(merged) > MAX_BINS // 2 + MAX_BINS // 4:
            # Gaps separated most of the pairs; a curve that is nearly all gaps may lose some.
            merged = _merge_pairs([each for each in self._bins if not each.is_gap()])
        self._bins = merged

    @property
    def has_points(self) -> bool:
        return bool(self._bins)

    def positions(self) -> list[Position]:
        """Of the points that are kept, by rising time."""
        positions = [point.at for each in self._bins for point in each.points()]
        return [at for at, after in pairwise(positions) if at.t < after.t] + positions[-1:]

    def pairs(self, x: PositionToX) -> list[tuple[float, float]]:
        """What is kept, by rising x; where the run went back, the later steps replace the earlier ones."""
        return _drop_superseded([(x(point.at), point.y) for each in self._bins for point in each.points()])

    def means(self, x: PositionToX) -> list[BinMean]:
        """The mean of each bin, by rising x, with one of count 0 at each gap."""
        means = [
            BinMean(
                x=x(each.points()[-1].at),
                mean=each.total / each.count,
                count=0 if each.is_gap() else each.count,
            )
            for each in self._bins
        ]
        kept: list[BinMean] = []
        for each in reversed(means):
            if not kept or each.x < kept[-1].x or (each.x == kept[-1].x and (each.count == 0) != (kept[-1].count == 0)):
                kept.append(each)
        return kept[::-1]


def _stored_bins(state: CurveState) -> list[_Bin]:
    columns = (state.t, state.charged_s, state.steps, state.sequences, state.spent)
    positions = [Position(*fields) for fields in zip(*columns, strict=True)]
    points = [Point(at, y) for at, y in zip(positions, state.values, strict=True)]
    rows = zip(points[::2], points[1::2], state.counts, state.totals, strict=True)
    # A bin with one point has it twice; a gap's NaN is not equal to itself.
    return [
        _Bin(low=low, high=low if low == high or math.isnan(low.y) else high, count=count, total=total)
        for low, high, count, total in rows
    ]


def _merge_pairs(bins: list[_Bin]) -> list[_Bin]:
    """Other bins, each of up to two; those that are given stay as they are."""
    merged: list[_Bin] = []
    can_absorb = False
    for each in bins:
        if can_absorb and not each.is_gap():
            merged[-1].absorb(each)
            can_absorb = False
        else:
            merged.append(replace(each))
            can_absorb = not each.is_gap()
    return merged


def _drop_superseded(pairs: list[tuple[float, float]]) -> list[tuple[float, float]]:
    kept: list[tuple[float, float]] = []
    bound = math.inf
    for x, y in reversed(pairs):
        # A gap has the x of the step before it, and neither replaces the other.
        if x < bound or (x == bound and math.isnan(y) != math.isnan(kept[-1][1])):
            kept.append((x, y))
            bound = x
    return kept[::-1]


def thin_positions(positions: list[Position], *, points: int) -> list[Position]:
    """About `points` of them, at equal distances, and the ends of all time that was not charged."""
    every = max(1, math.ceil(len(positions) / points))
    kept = set(range(0, len(positions), every)) | {len(positions) - 1}
    for index, (before, after) in enumerate(pairwise(positions)):
        if after.t - before.t - (after.charged_s - before.charged_s) > MIN_UNCHARGED_S:
            kept |= {index, index + 1}
    return [at for index, at in enumerate(positions) if index in kept]


def decimate(pairs: list[tuple[float, float]], *, points: int) -> list[tuple[float, float]]:
    """About `points` of the pairs: of each section the smallest, the largest and a NaN, if it has one."""
    if len(pairs) <= points:
        return pairs
    size = math.ceil(len(pairs) / max(1, points // 2))
    kept: list[tuple[float, float]] = []
    for start in range(0, len(pairs), size):
        section = pairs[start : start + size]
        finite = [index for index, (_, y) in enumerate(section) if not math.isnan(y)]
        chosen = {index for index, (_, y) in enumerate(section) if math.isnan(y)}
        chosen = set(sorted(chosen)[:1])
        if finite:
            chosen.add(min(finite, key=lambda index: section[index][1]))
            chosen.add(max(finite, key=lambda index: section[index][1]))
        kept += [section[index] for index in sorted(chosen)]
    return kept
