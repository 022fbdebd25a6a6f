"""What a chart's cursor says: where it is on other axes, the values there, and what happened there."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tui.charts.axis_labels import share_label, time_label
from tui.charts.axis_map import AxisMap
from tui.charts.event_marks import EventMark
from tui.drawing.formatting import clock, count, format_learning_rate, loss
from tui.drawing.lines import Line, Role, join_lines, line

if TYPE_CHECKING:
    from bertd.api.models import SeriesAxis, SeriesView

_PLACES: tuple[SeriesAxis, ...] = ("progress", "step", "charged_s")


def cursor_lines(
    curves: SeriesView,
    x: float,
    axis_map: AxisMap,
    marks: Sequence[EventMark],
    *,
    reach: float,
    width: int,
) -> tuple[Line, list[Line]]:
    """A line with the values at the cursor, as many as fit, and one with the place and the event there.

    Args:
        reach: how far from the cursor, in x, a point or an event may be.
    """
    values = _values(curves, x, reach)
    while len(values) > 1 and join_lines(values, separator="   ").width > width:
        values.pop()
    event = max((mark for mark in marks if abs(mark.x - x) <= reach), key=lambda mark: mark.rank, default=None)
    place = [_place(axis_map, curves.x, x)]
    if event is not None:
        place.append(line((event.symbol, event.role), f" {clock(event.event.t)} {event.event.text}"))
    return join_lines(values, separator="   "), [join_lines(place, separator="   ")]


def value_at(points: Sequence[tuple[float, float]], x: float, reach: float) -> float | None:
    """The nearest finite value within `reach`."""
    near = [(abs(at - x), y) for at, y in points if abs(at - x) <= reach and math.isfinite(y)]
    return min(near)[1] if near else None


def _values(curves: SeriesView, x: float, reach: float) -> list[Line]:
    found = [
        ("train", value_at(curves.columns.get("loss", []), x, reach), Role.TRAIN, loss),
        ("smoothed", value_at(curves.smoothed.get("loss", []), x, 2 * reach), Role.SMOOTHED, loss),
        ("validation", _last_before(curves.columns.get("validation", []), x), Role.VALIDATION, loss),
        ("lr", value_at(curves.columns.get("lr", []), x, 2 * reach), Role.MUTED, format_learning_rate),
    ]
    parts = [
        line((f"{name} ", role), (text(value), Role.STRONG)) for name, value, role, text in found if value is not None
    ]
    return parts or [line(("no step here", Role.MUTED))]


def _last_before(points: Sequence[tuple[float, float]], x: float) -> float | None:
    """The newest value at or before x."""
    before = [y for at, y in points if at <= x and math.isfinite(y)]
    return before[-1] if before else None


def _place(axis_map: AxisMap, axis: SeriesAxis, x: float) -> Line:
    """The cursor on the axes that people think in."""
    parts: list[Line] = []
    progress, step, charged_s = (axis_map.move(x, axis, to) for to in _PLACES)
    if progress is not None:
        parts.append(line(("at ", Role.MUTED), share_label(round(progress, 4))))
    if step is not None:
        parts.append(line(("step ", Role.MUTED), count(step)))
    if charged_s is not None:
        parts.append(line((time_label(60 * round(charged_s / 60) if charged_s >= 3600 else charged_s), Role.TEXT)))
    return join_lines(parts, separator="  ")
