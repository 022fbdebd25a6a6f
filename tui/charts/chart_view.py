"""What part of the curves is shown, on which axis: the user's choices, and how keys change them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from tui.charts.reference import Reference

if TYPE_CHECKING:
    from bertd.api.models import RunView, SeriesAxis

_Choice = TypeVar("_Choice")

AXES: tuple[SeriesAxis, ...] = ("progress", "step", "sequences", "tokens", "charged_s", "wall_s")
AXIS_NAMES: dict[SeriesAxis, str] = {
    "progress": "budget",
    "step": "steps",
    "sequences": "sequences",
    "tokens": "tokens",
    "charged_s": "charged time",
    "wall_s": "wall time",
}
SMOOTHINGS = (0.01, 0.03, 0.1, 0.0)
"""Half-lives that a key cycles, as shares of the visible range; 0 is no smoothing."""
_ZOOM = 2.0
_WHOLE_SHARE = 1 - 1e-9
"""A window is whole from this share of the axis: sums of its ends are not exact."""
_MIN_SHARE = 1e-4
"""Smallest window, as a share of the whole axis."""


@dataclass(frozen=True)
class Window:
    """A range of x."""

    low: float
    high: float

    @property
    def size(self) -> float:
        return self.high - self.low


@dataclass(frozen=True)
class CurvesRequest:
    """What the daemon is asked for."""

    axis: SeriesAxis = "progress"
    window: Window | None = None
    """Range that is requested in addition to the whole curves, in more detail."""
    smoothing: float = SMOOTHINGS[0]
    """Half-life as a share of the visible range; 0 for none."""


@dataclass(frozen=True)
class ChartView:
    """The charts of the Run screen: they have the same x axis."""

    axis: SeriesAxis = "progress"
    window: Window | None = None
    """None: from the start of the run on."""
    smoothing: float = SMOOTHINGS[0]
    cursor: float | None = None
    """In units of the axis; None: no cursor."""
    reference: Reference | None = None
    """What the run is compared with."""

    @property
    def request(self) -> CurvesRequest:
        """The curves that this view needs."""
        return CurvesRequest(self.axis, self.window, self.smoothing)

    @property
    def is_whole(self) -> bool:
        """Whether there is neither a window nor a cursor."""
        return self.window is None and self.cursor is None

    def on_axis(self, axis: SeriesAxis, *, cursor: float | None) -> ChartView:
        """The whole curves on another axis, where the cursor is at `cursor`."""
        return replace(self, axis=axis, window=None, cursor=cursor)

    def with_next_smoothing(self) -> ChartView:
        """The next of SMOOTHINGS."""
        return replace(self, smoothing=_next(SMOOTHINGS, self.smoothing))

    def whole(self) -> ChartView:
        """Without window and cursor."""
        return replace(self, window=None, cursor=None)

    def zoomed(self, shown: Window, *, whole: Window, into: bool, around: float | None = None) -> ChartView:
        """Half or twice the visible range.

        Args:
            shown: the visible range.
            whole: the whole axis, which the window stays within.
            around: x that stays where it is; None for the cursor if it is visible, else the newest end.
        """
        is_visible = self.cursor is not None and shown.low <= self.cursor <= shown.high
        anchor = around if around is not None else self.cursor if is_visible and self.cursor is not None else shown.high
        size = max(shown.size / _ZOOM if into else shown.size * _ZOOM, whole.size * _MIN_SHARE)
        if size >= whole.size * _WHOLE_SHARE:
            return replace(self, window=None)
        share = (anchor - shown.low) / shown.size
        return replace(self, window=_within(Window(anchor - share * size, anchor + (1 - share) * size), whole))

    def panned(self, shown: Window, *, whole: Window, share: float) -> ChartView:
        """The window moved by a share of its size; without one there is nothing to move."""
        if self.window is None:
            return self
        shift = share * shown.size
        return replace(self, window=_within(Window(shown.low + shift, shown.high + shift), whole))

    def with_cursor_moved(self, shown: Window, *, whole: Window, start: float, share: float) -> ChartView:
        """The cursor moved by a share of the visible range, which follows it; the first time it appears at `start`."""
        if self.cursor is None:
            return replace(self, cursor=min(shown.high, max(shown.low, start)))
        return self.with_cursor_at(self.cursor + share * shown.size, shown=shown, whole=whole)

    def with_cursor_at(self, x: float, *, shown: Window, whole: Window) -> ChartView:
        """The cursor at x, within the axis; the window follows it."""
        x = min(whole.high if self.window is not None else shown.high, max(whole.low, x))
        moved = replace(self, cursor=x)
        if self.window is None or self.window.low <= x <= self.window.high:
            return moved
        half = self.window.size / 2
        return replace(moved, window=_within(Window(x - half, x + half), whole))


def next_axis(axis: SeriesAxis, available: tuple[SeriesAxis, ...]) -> SeriesAxis:
    """The next axis that there are curves for."""
    return _next(available, axis)


def newest_x(run: RunView, axis: SeriesAxis) -> float:
    """About where the newest step is on the axis; for wall time without the pauses."""
    step = run.step
    match axis:
        case "progress":
            return run.budget.progress
        case "step":
            return float(step.step) if step is not None else 0.0
        case "sequences":
            return float(step.sequences) if step is not None else 0.0
        case "tokens":
            length = run.start.sequence_length if run.start is not None else 0
            return float(step.sequences * length) if step is not None else 0.0
        case "charged_s" | "wall_s":
            return run.budget.charged_s


def _next(choices: tuple[_Choice, ...], current: _Choice) -> _Choice:
    at = choices.index(current) if current in choices else -1
    return choices[(at + 1) % len(choices)]


def _within(window: Window, whole: Window) -> Window:
    """The window, moved so that it does not leave the axis."""
    low = min(max(window.low, whole.low), whole.high - window.size)
    return Window(low, low + window.size)
