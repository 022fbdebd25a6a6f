"""The event line under a chart: one letter for each thing that happened to the run."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tui.charts.axis_map import AxisMap
from tui.drawing.lines import Role

if TYPE_CHECKING:
    from bertd.api.models import EventView, SeriesAxis

MARKED_TYPES = ("checkpoint", "export", "state", "alert", "restart", "rollback", "budget", "devices", "end")
"""Types of events that are marked, or may be."""

LEGEND = ". checkpoint, m marker, P pause, B budget, D devices, R restart, ! spike or alert, E end"


@dataclass(frozen=True)
class EventMark:
    """One event at its place on the x axis."""

    x: float
    symbol: str
    role: Role
    rank: int
    """Of several events in one cell the one of the highest rank is shown."""
    event: EventView


def event_marks(
    events: Iterable[EventView], *, run_id: str, job_id: int, axis_map: AxisMap, axis: SeriesAxis
) -> list[EventMark]:
    """The marks of a run's events; events without a place on the axis are left out."""
    marks: list[EventMark] = []
    for event in events:
        if event.run_id != run_id or event.job_id not in (None, job_id):
            continue
        kind = _kind(event)
        x = axis_map.find(axis, by="t", value=event.t) if kind is not None else None
        if kind is not None and x is not None:
            marks.append(EventMark(x, kind.symbol, kind.role, kind.rank, event))
    return marks


@dataclass(frozen=True)
class _Kind:
    symbol: str
    role: Role
    rank: int


_CHECKPOINT = _Kind(".", Role.MUTED, 0)
_MARKER = _Kind("m", Role.KEY, 2)
_PAUSE = _Kind("P", Role.WAITING, 3)
_BUDGET = _Kind("B", Role.KEY, 4)
_DEVICES = _Kind("D", Role.KEY, 4)
_END = _Kind("E", Role.STRONG, 5)
_RESTART = _Kind("R", Role.BAD, 6)
_ALERT = _Kind("!", Role.BAD, 7)


def _kind(event: EventView) -> _Kind | None:
    match event.type:
        case "checkpoint":
            return _MARKER if event.data.get("why") == "marker" else _CHECKPOINT
        case "export":
            return _MARKER if event.data.get("markers") else None
        case "state":
            return _PAUSE if event.text.startswith("paused") else None
        case "budget":
            return _BUDGET
        case "devices":
            return _DEVICES
        case "end":
            return _END
        case "restart" | "rollback":
            return _RESTART
        case "alert":
            return _ALERT
        case _:
            return None
