"""The latest events, newest at the bottom."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tui.display_options import DisplayOptions
from tui.drawing.formatting import clock
from tui.drawing.lines import Line, Role, Span, cell, heading, line, wrap_words
from tui.snapshot import Snapshot

if TYPE_CHECKING:
    from bertd.api.models import EventView

_HIDDEN_TYPES = {"step"}
"""Step events are too frequent to list."""
_ALERT_TYPES = {"alert", "restart"}


def draw(snapshot: Snapshot, options: DisplayOptions, width: int, height: int) -> list[Line]:
    if height == 1:
        newest = [event for event in snapshot.events if event.type not in _HIDDEN_TYPES][-1:]
        return [_row(newest[0], options, width) if newest else _no_events(snapshot)]
    title = heading("Events", Line(), width=width, rule=options.glyphs.rule)
    rows = height - 1
    visible_events = [event for event in snapshot.events if event.type not in _HIDDEN_TYPES]
    shown = visible_events[-rows:] if rows > 0 else []
    if not shown:
        return [title, _no_events(snapshot)][:height]
    return [title, *(_row(event, options, width) for event in shown)][:height]


def listed(snapshot: Snapshot, wanted: str) -> list[EventView]:
    """The events worth a row, oldest first, of which the row has the text `wanted`, whatever its case."""
    events = (event for event in snapshot.events if event.type not in _HIDDEN_TYPES)
    return [event for event in events if wanted in _searched_text(event)]


def draw_list(snapshot: Snapshot, events: Sequence[EventView], options: DisplayOptions, width: int) -> list[Line]:
    """A heading and a row for each event."""
    title = heading("Events", Line(), width=width, rule=options.glyphs.rule)
    return [title, *([_row(event, options, width) for event in events] or [_no_events(snapshot)])]


def draw_one(event: EventView | None, options: DisplayOptions, width: int) -> list[Line]:
    """An event in full: its text over several lines, and where it leads to."""
    if event is None:
        return []
    step = step_of(event)
    parts = ([] if step is None else [f"step {step:,}"]) + ([event.run_id] if event.run_id else [])
    right = line((options.glyphs.dot.join(parts), Role.MUTED))
    role = Role.BAD if event.type in _ALERT_TYPES else Role.TEXT
    rows = wrap_words(_event_text(event), max(20, width))
    return [heading(event.type, right, width=width, rule=options.glyphs.rule), *(line((row, role)) for row in rows)]


def step_of(event: EventView) -> int | None:
    """The step of its run at which it happened; a grid counts trials, not steps."""
    step = event.data.get("step")
    return step if isinstance(step, int) and event.type != "grid" and event.run_id is not None else None


def _searched_text(event: EventView) -> str:
    return f"{clock(event.t)} {event.type} #{event.job_id} {event.run_id} {_event_text(event)}".casefold()


def _no_events(snapshot: Snapshot) -> Line:
    return line(("no events yet" if snapshot.status is not None else "not known yet", Role.MUTED))


def _row(event: EventView, options: DisplayOptions, width: int) -> Line:
    role = Role.BAD if event.type in _ALERT_TYPES else Role.TEXT
    return Line((*_head(event, role), Span(_event_text(event), role))).fit(width)


def _head(event: EventView, role: Role) -> list[Span]:
    return [
        Span(f"{clock(event.t)}  ", Role.MUTED),
        cell(event.type, 11, role if role is Role.BAD else Role.MUTED),
        cell(f"#{event.job_id}" if event.job_id is not None else "", 5, Role.MUTED),
    ]


def _event_text(event: EventView) -> str:
    """The text without the run, job and type that the row already shows."""
    text = event.text.removeprefix(f"{event.run_id}: ")
    if event.job_id is not None:
        text = re.sub(rf"^job {event.job_id} \S* ?is ", "", text)
    return text.removeprefix(event.type).lstrip(" :")
