"""Curves in bounded memory: buckets that keep the smallest and the largest value, merged in pairs when there are many.

A gap (a pause or a restart) is a separate bucket with NaN. Steps that a restart lost are left out when a curve is
read, because the steps that replaced them have the same x.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from bertd.records import (
    BudgetRecord,
    BudgetUnit,
    DevicesRecord,
    Record,
    RollbackRecord,
    StartRecord,
    StepRecord,
    ValidationRecord,
)
from bertd.run.budget import Budget
from bertd.run.progress import RunProgress

Axis = Literal["progress", "step", "charged_s"]
COLUMNS = ("loss", "validation", "lr", "grad_norm", "sequences_per_s", "tokens_per_s")
MAX_BUCKETS = 1024
"""Per column; at a record a second, a day's curve has buckets of about two minutes."""


@dataclass(frozen=True, slots=True)
class Point:
    """One value, with the run's position when it was measured."""

    charged_s: float
    step: int
    spent: float
    """In the budget's unit."""
    y: float

    def x(self, axis: Axis, *, granted: float) -> float:
        """Position on an axis; progress is a share of the current budget, for old points too."""
        if axis == "progress":
            return min(1.0, self.spent / granted)
        return float(getattr(self, axis))


@dataclass(slots=True)
class _Bucket:
    low: Point
    high: Point
    count: int

    def is_gap(self) -> bool:
        return math.isnan(self.low.y)

    def absorb(self, point: Point, *, count: int) -> None:
        if point.y < self.low.y:
            self.low = point
        if point.y > self.high.y:
            self.high = point
        self.count += count

    def points(self) -> list[Point]:
        """One or two points, in order of time."""
        if self.low is self.high:
            return [self.low]
        return sorted((self.low, self.high), key=lambda point: point.charged_s)


class CurveState(Record):
    """A curve as it is stored: a column of numbers per field of its buckets' points."""

    capacity: int
    """Points that a bucket takes."""
    counts: list[int]
    charged_s: list[float]
    steps: list[int]
    spent: list[float]
    values: list[float]
    """Of these four lists two entries belong to each bucket: its smallest and its largest point."""


class CurvesState(Record):
    """All curves of a run, and the position in its budget that the next points need."""

    unit: BudgetUnit
    """Of the points' `spent`."""
    progress: RunProgress
    columns: dict[str, CurveState]


class DecimatedCurve:
    """One column of one run."""

    def __init__(self, state: CurveState | None = None) -> None:
        self._buckets: list[_Bucket] = [] if state is None else _stored_buckets(state)
        self._capacity = 1 if state is None else state.capacity

    def state(self) -> CurveState:
        """The curve as it is stored."""
        points = [point for bucket in self._buckets for point in (bucket.low, bucket.high)]
        return CurveState(
            capacity=self._capacity,
            counts=[bucket.count for bucket in self._buckets],
            charged_s=[point.charged_s for point in points],
            steps=[point.step for point in points],
            spent=[point.spent for point in points],
            values=[point.y for point in points],
        )

    def add(self, point: Point) -> None:
        """Append a point; NaN makes a gap."""
        last = self._buckets[-1] if self._buckets else None
        is_gap = math.isnan(point.y)
        if last is not None and last.is_gap() and is_gap:
            return
        if last is None or is_gap or last.is_gap() or last.count >= self._capacity:
            self._buckets.append(_Bucket(low=point, high=point, count=1))
            if len(self._buckets) > MAX_BUCKETS:
                self._halve_resolution()
        else:
            last.absorb(point, count=1)

    def _halve_resolution(self) -> None:
        self._capacity *= 2
        merged = _merge_pairs(self._buckets)
        if len(merged) > MAX_BUCKETS // 2 + MAX_BUCKETS // 4:
            # Gaps separated most of the pairs; a curve that is nearly all gaps may lose some.
            merged = _merge_pairs([bucket for bucket in self._buckets if not bucket.is_gap()])
        self._buckets = merged

    @property
    def has_points(self) -> bool:
        return bool(self._buckets)

    def read(self, *, axis: Axis, points: int, granted: float) -> list[tuple[float, float]]:
        """About `points` pairs in order of x; `granted` is the budget's amount."""
        kept = [point for bucket in self._buckets for point in bucket.points()]
        return decimate(_drop_superseded(kept, axis=axis, granted=granted), points=points)


def _stored_buckets(state: CurveState) -> list[_Bucket]:
    columns = zip(state.charged_s, state.steps, state.spent, state.values, strict=True)
    points = [Point(charged_s=charged_s, step=step, spent=spent, y=y) for charged_s, step, spent, y in columns]
    pairs = zip(points[::2], points[1::2], state.counts, strict=True)
    # A bucket with one point has it twice; a gap's NaN is not equal to itself.
    return [
        _Bucket(low=low, high=low if low == high or math.isnan(low.y) else high, count=count)
        for low, high, count in pairs
    ]


def _merge_pairs(buckets: list[_Bucket]) -> list[_Bucket]:
    merged: list[_Bucket] = []
    can_absorb = False
    for bucket in buckets:
        if can_absorb and not bucket.is_gap():
            merged[-1].absorb(bucket.low, count=bucket.count)
            merged[-1].absorb(bucket.high, count=0)
            can_absorb = False
        else:
            merged.append(bucket)
            can_absorb = not bucket.is_gap()
    return merged


def _drop_superseded(points: list[Point], *, axis: Axis, granted: float) -> list[tuple[float, float]]:
    """Pairs by rising x; where the run went back, the later steps replace the earlier ones."""
    pairs: list[tuple[float, float]] = []
    bound = math.inf
    for point in reversed(points):
        x = point.x(axis, granted=granted)
        # A gap has the x of the step before it, and neither replaces the other.
        if x < bound or (x == bound and math.isnan(point.y) != math.isnan(pairs[-1][1])):
            pairs.append((x, point.y))
            bound = x
    pairs.reverse()
    return pairs


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


class RunCurves:
    """All columns of one run."""

    def __init__(self, recipe_budget: Budget, state: CurvesState | None = None) -> None:
        self._recipe_budget = recipe_budget
        self._progress = RunProgress() if state is None else state.progress
        self._granted = recipe_budget if state is None else self._progress.budget_plan(recipe_budget).granted
        """The current budget; a point's `spent` counts the devices in use at that time."""
        stored = {} if state is None else state.columns
        self._curves = {column: DecimatedCurve(stored.get(column)) for column in COLUMNS}

    def state(self) -> CurvesState:
        """The curves as they are stored."""
        columns = {column: curve.state() for column, curve in self._curves.items()}
        return CurvesState(unit=self._recipe_budget.unit, progress=self._progress, columns=columns)

    def add(
        self, record: StepRecord | ValidationRecord | StartRecord | BudgetRecord | DevicesRecord | RollbackRecord
    ) -> None:
        """Add a record; a start or a rollback makes a gap in every curve that has begun."""
        if isinstance(record, StartRecord | BudgetRecord | DevicesRecord):
            self._progress = self._progress.with_record(record)
            self._granted = self._progress.budget_plan(self._recipe_budget).granted
        match record:
            case StepRecord():
                for column in ("loss", "lr", "grad_norm", "sequences_per_s", "tokens_per_s"):
                    self._add(column, record, y=getattr(record, column))
            case ValidationRecord():
                self._add("validation", record, y=record.loss)
            case StartRecord(attempt=attempt) if attempt > 1:
                self._add_gap(record)
            case RollbackRecord():
                self._add_gap(record)

    def _add_gap(self, record: StartRecord | RollbackRecord) -> None:
        for column, curve in self._curves.items():
            if curve.has_points:
                self._add(column, record, y=math.nan)

    def _add(
        self, column: str, record: StepRecord | ValidationRecord | StartRecord | RollbackRecord, *, y: float
    ) -> None:
        spent = self._granted.spent(charged_s=record.charged_s, steps=record.step, sequences=record.sequences)
        self._curves[column].add(
            Point(charged_s=record.charged_s, step=record.step, spent=spent, y=y if math.isfinite(y) else math.nan)
        )

    def read(self, *, columns: list[str], axis: Axis, points: int) -> dict[str, list[tuple[float, float]]]:
        """Points of each of `columns`, which must be in COLUMNS."""
        return {
            column: self._curves[column].read(axis=axis, points=points, granted=self._granted.amount)
            for column in columns
        }
