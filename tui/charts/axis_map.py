"""Where things are on the x axis of a run's charts: what has a time, a step, or a share of the budget.

The daemon gives the run's positions: at some times, the value on every axis. Between two of them the run is taken to
have moved evenly. The end of the budget is added as one more position, as far as the daemon projects it.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Literal, TypeAlias

from tui.charts.chart_view import AXES, Window

if TYPE_CHECKING:
    from bertd.api.models import PositionsView, RunView, SeriesAxis, SeriesView

Key: TypeAlias = Literal["t", "progress", "step", "sequences", "charged_s"]
"""What a position is found by; t is Unix seconds."""

MIN_PAUSE_S = 5.0
"""Shorter times that were not charged are not shaded."""


@dataclass(frozen=True)
class _Position:
    t: float
    charged_s: float
    progress: float
    step: float
    sequences: float


class AxisMap:
    """The positions of one run."""

    def __init__(self, run: RunView, series: SeriesView | None, *, now: float) -> None:
        """
        Args:
            series: whose positions are used; without any, a place is known on the axis of the budget only.
            now: Unix seconds, from which the end is projected.
        """
        view = series.positions if series is not None else None
        self._began_t = view.began_t if view is not None else 0.0
        self._sequence_length = run.start.sequence_length if run.start is not None else 0
        known = _known_positions(view) if view is not None else []
        self._known = known
        self._positions = [*known, *_projected_end(run, known[-1], now=now)] if known else []
        self._columns: dict[Key, tuple[list[float], list[_Position]]] = {}
        self.newest_progress = known[-1].progress if known else run.budget.progress

    @property
    def axes(self) -> tuple[SeriesAxis, ...]:
        """Those on which everything has a place."""
        if not self._positions:
            return ("progress",)
        return tuple(axis for axis in AXES if axis != "tokens" or self._sequence_length)

    def find(self, axis: SeriesAxis, *, by: Key, value: float) -> float | None:
        """Where on `axis` the run was, or is projected to be, when `by` had this value; None if that is not known."""
        if axis == by:
            return value
        if not self._positions:
            return None
        keys, positions = self._sorted_by(by)
        at = bisect_left(keys, value)
        if at == len(keys):
            return self._x(axis, positions[-1]) if by == "t" else None
        if keys[at] == value or at == 0:
            return self._x(axis, positions[at]) if keys[at] == value else None
        share = (value - keys[at - 1]) / (keys[at] - keys[at - 1])
        low, high = self._x(axis, positions[at - 1]), self._x(axis, positions[at])
        return low + share * (high - low)

    def move(self, x: float, axis: SeriesAxis, to: SeriesAxis) -> float | None:
        """The place on another axis; None if it is not known."""
        match axis:
            case "tokens":
                return self.find(to, by="sequences", value=x / max(1, self._sequence_length))
            case "wall_s":
                return self.find(to, by="t", value=x + self._began_t)
            case _:
                return self.find(to, by=axis, value=x)

    def end(self, axis: SeriesAxis) -> float:
        """The end of the axis: of the budget, as far as it is known."""
        if axis == "progress":
            return 1.0
        return max(self._x(axis, self._positions[-1]), 1e-9) if self._positions else 1.0

    def newest(self, axis: SeriesAxis) -> float:
        """Where the newest known step is."""
        return self._x(axis, self._known[-1]) if self._known else self.newest_progress

    def whole(self, axis: SeriesAxis) -> Window:
        """The whole axis."""
        return Window(0.0, self.end(axis))

    def pauses(self, axis: SeriesAxis, *, paused_until: float | None) -> list[Window]:
        """What was not charged; on other axes than wall time that has no width.

        Args:
            paused_until: Unix seconds; None unless the run is paused.
        """
        if axis != "wall_s" or not self._known:
            return []
        spans = [
            (before.t + after.charged_s - before.charged_s, after.t)
            for before, after in pairwise(self._known)
            if after.t - before.t - (after.charged_s - before.charged_s) > MIN_PAUSE_S
        ]
        if paused_until is not None and paused_until - self._known[-1].t > MIN_PAUSE_S:
            spans.append((self._known[-1].t, paused_until))
        return [Window(low - self._began_t, high - self._began_t) for low, high in spans]

    def _x(self, axis: SeriesAxis, at: _Position) -> float:
        match axis:
            case "progress":
                return at.progress
            case "step":
                return at.step
            case "sequences":
                return at.sequences
            case "tokens":
                return at.sequences * self._sequence_length
            case "charged_s":
                return at.charged_s
            case "wall_s":
                return at.t - self._began_t

    def _sorted_by(self, key: Key) -> tuple[list[float], list[_Position]]:
        """Positions by rising `key`; where the run went back, the later ones replace the earlier ones."""
        if key not in self._columns:
            kept: list[_Position] = []
            for at in reversed(self._positions):
                if not kept or getattr(at, key) < getattr(kept[-1], key):
                    kept.append(at)
            kept.reverse()
            self._columns[key] = ([getattr(at, key) for at in kept], kept)
        return self._columns[key]


def _known_positions(view: PositionsView) -> list[_Position]:
    rows = zip(view.t, view.charged_s, view.progress, view.step, view.sequences, strict=True)
    known = [_Position(*row) for row in rows]
    if known and known[0].t > view.began_t:
        known.insert(0, _Position(view.began_t, 0.0, 0.0, 0.0, 0.0))
    return known


def _projected_end(run: RunView, newest: _Position, *, now: float) -> list[_Position]:
    """Where the budget ends, if the run goes on as it does; none if that is not known, or it is over."""
    left_s = run.budget.remaining_s
    if left_s is None or run.end is not None or newest.progress >= 1.0 or newest.progress <= 0.0:
        return []
    step = max(newest.step, float(run.budget.projected_step or newest.step / newest.progress))
    per_step = newest.sequences / newest.step if newest.step else 0.0
    return [
        _Position(
            t=max(now, newest.t) + left_s,
            charged_s=max(newest.charged_s, run.budget.charged_s) + left_s,
            progress=1.0,
            step=step,
            sequences=newest.sequences + (step - newest.step) * per_step,
        )
    ]
