"""The curves of one run, folded from its journal in bounded memory.

Steps that a restart lost are left out when a curve is read, because the steps that replaced them have the same x.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeAlias

from bertd.api.models import PositionsView, SeriesAxis
from bertd.metrics.curve_smoothing import smooth
from bertd.metrics.decimated_curve import (
    CurveState,
    DecimatedCurve,
    Position,
    PositionToX,
    decimate,
    thin_positions,
)
from bertd.metrics.journal_index import IndexState, JournalIndex
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

_STEP_COLUMNS = ("loss", "lr", "grad_norm", "sequences_per_s", "tokens_per_s", "data_wait", "mfu")
COLUMNS = ("loss", "validation", *_STEP_COLUMNS[1:])

CurveRecord: TypeAlias = StepRecord | ValidationRecord | StartRecord | BudgetRecord | DevicesRecord | RollbackRecord
_Placed: TypeAlias = StepRecord | ValidationRecord | StartRecord | RollbackRecord


class CurvesState(Record):
    """All curves of a run, and what the next points need: its position in the budget, its begin, its tokens."""

    unit: BudgetUnit
    """Of the points' `spent`."""
    progress: RunProgress
    began_t: float | None
    sequence_length: int
    columns: dict[str, CurveState]
    index: IndexState


class RunCurves:
    """All columns of one run."""

    def __init__(self, recipe_budget: Budget, state: CurvesState | None = None) -> None:
        self._recipe_budget = recipe_budget
        self._progress = RunProgress() if state is None else state.progress
        self._granted = recipe_budget if state is None else self._progress.budget_plan(recipe_budget).granted
        """The current budget; a point's `spent` counts the devices in use at that time."""
        self._began_t = None if state is None else state.began_t
        self._sequence_length = 0 if state is None else state.sequence_length
        """Tokens of a sequence, padding included; 0 before the first start."""
        stored = {} if state is None else state.columns
        self._curves = {column: DecimatedCurve(stored.get(column)) for column in COLUMNS}
        self.index = JournalIndex(None if state is None else state.index)

    def state(self) -> CurvesState:
        """The curves as they are stored."""
        return CurvesState(
            unit=self._recipe_budget.unit,
            progress=self._progress,
            began_t=self._began_t,
            sequence_length=self._sequence_length,
            columns={column: curve.state() for column, curve in self._curves.items()},
            index=self.index.state(),
        )

    def empty_copy(self) -> RunCurves:
        """The same run without a point, for the points of a part of its journal: give it those with `add_points`."""
        empty = RunCurves(self._recipe_budget)
        empty._progress, empty._granted = self._progress, self._granted
        empty._began_t, empty._sequence_length = self._began_t, self._sequence_length
        return empty

    def add(self, record: CurveRecord, *, offset: int | None = None) -> None:
        """Add a record; a start or a rollback makes a gap in every curve that has begun.

        Args:
            offset: byte of the journal at or after which it begins, where a line does; None leaves it out of the index.
        """
        if isinstance(record, StartRecord | BudgetRecord | DevicesRecord):
            self._progress = self._progress.with_record(record)
            self._granted = self._progress.budget_plan(self._recipe_budget).granted
        if isinstance(record, StartRecord):
            self._began_t = record.t if self._began_t is None else self._began_t
            self._sequence_length = record.sequence_length
        if not isinstance(record, BudgetRecord | DevicesRecord):
            at = self.add_points(record)
            if offset is not None:
                self.index.add(offset, at)

    def add_steps(self, records: Sequence[StepRecord], *, offset: int | None = None) -> None:
        """Add consecutive records of steps: as `add` for each of them, at a fraction of the cost.

        Args:
            offset: as of `add`; of the piece of the journal that has all of them.
        """
        if self._began_t is None:
            self._began_t = records[0].t
        positions: dict[int, Position] = {}

        def position(number: int) -> Position:
            if number not in positions:
                positions[number] = self._position(records[number])
            return positions[number]

        for column in _STEP_COLUMNS:
            values: list[float | None] = [getattr(record, column) for record in records]
            numbers = [number for number, y in enumerate(values) if y is not None]
            self._curves[column].extend([y for y in values if y is not None], partial(_call_at, position, numbers))
        if offset is not None:
            self.index.add(offset, position(0))

    def _position(self, record: _Placed) -> Position:
        return Position(
            t=record.t,
            charged_s=record.charged_s,
            step=record.step,
            sequences=record.sequences,
            spent=self._granted.spent(charged_s=record.charged_s, steps=record.step, sequences=record.sequences),
        )

    def add_points(self, record: _Placed) -> Position:
        """Add what a record measured, and leave the budget as it is; return where it was measured."""
        at = self._position(record)
        if self._began_t is None:
            self._began_t = record.t
        match record:
            case StepRecord():
                for column in _STEP_COLUMNS:
                    self._add(column, at, y=getattr(record, column))
            case ValidationRecord():
                self._add("validation", at, y=record.loss)
            case StartRecord(attempt=attempt) if attempt > 1:
                self._add_gap(at)
            case RollbackRecord():
                self._add_gap(at)
        return at

    def _add_gap(self, at: Position) -> None:
        for curve in self._curves.values():
            if curve.has_points:
                curve.add(at, math.nan)

    def _add(self, column: str, at: Position, *, y: float | None) -> None:
        if y is not None:
            self._curves[column].add(at, y if math.isfinite(y) else math.nan)

    @property
    def records_per_bin(self) -> int:
        """Step records of which at most two are kept; 1 while all are."""
        return self._curves["loss"].capacity

    @property
    def can_place_past_points(self) -> bool:
        """Whether a past record has the same place on every axis if it is read again: GPU-hours lose their devices."""
        is_of_devices = self._recipe_budget.unit is BudgetUnit.GPU_HOURS
        return not (is_of_devices and self._progress.past_device_seconds != RunProgress().past_device_seconds)

    def position_to_x(self, axis: SeriesAxis) -> PositionToX:
        """How far along an axis a position is; progress is a share of the current budget, for old points too."""
        granted, length, began_t = self._granted.amount, self._sequence_length, self._began_t or 0.0
        match axis:
            case "progress":
                return lambda at: min(1.0, at.spent / granted)
            case "step":
                return lambda at: float(at.step)
            case "sequences":
                return lambda at: float(at.sequences)
            case "tokens":
                return lambda at: float(at.sequences * length)
            case "charged_s":
                return lambda at: at.charged_s
            case "wall_s":
                return lambda at: at.t - began_t

    def read(
        self,
        *,
        columns: list[str],
        axis: SeriesAxis,
        points: int,
        low: float = -math.inf,
        high: float = math.inf,
    ) -> dict[str, list[tuple[float, float]]]:
        """Points of each of `columns`, which must be in COLUMNS, with x from `low` to `high`."""
        x = self.position_to_x(axis)
        return {
            column: decimate(_within(self._curves[column].pairs(x), low, high), points=points) for column in columns
        }

    def read_positions(self, *, points: int) -> PositionsView:
        """Where the run was on every axis, over the whole run."""
        kept = thin_positions(self._curves["loss"].positions(), points=points)
        progress = self.position_to_x("progress")
        return PositionsView(
            began_t=self._began_t or 0.0,
            t=[at.t for at in kept],
            charged_s=[at.charged_s for at in kept],
            progress=[progress(at) for at in kept],
            step=[at.step for at in kept],
            sequences=[at.sequences for at in kept],
        )

    def read_smoothed(
        self,
        *,
        columns: list[str],
        axis: SeriesAxis,
        points: int,
        half_life: float,
        low: float = -math.inf,
        high: float = math.inf,
    ) -> dict[str, list[tuple[float, float]]]:
        """As `read`, smoothed; see bertd.metrics.curve_smoothing."""
        x = self.position_to_x(axis)
        return {
            column: decimate(
                _within(smooth(self._curves[column].means(x), half_life=half_life), low, high), points=points
            )
            for column in columns
        }


def _call_at(function: Callable[[int], Position], numbers: Sequence[int], index: int) -> Position:
    return function(numbers[index])


def _within(pairs: list[tuple[float, float]], low: float, high: float) -> list[tuple[float, float]]:
    return [pair for pair in pairs if low <= pair[0] <= high]
