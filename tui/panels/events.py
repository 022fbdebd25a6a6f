"""The latest events, newest at the bottom."""

from __future__ import annotations

import re

from bertd.api.models import EventView
from tui.display_options import DisplayOptions
from tui.drawing.formatting import clock
from tui.drawing.lines import Line, Role, Span, cell, heading, line, wrap_words
from tui.snapshot import Snapshot

_HIDDEN_TYPES = {"step"}
"""Step events are too frequent to list."""
_ALERT_TYPES = {"alert", "restart"}


def draw(snapshot: Snapshot, options: DisplayOptions, width: int, height: int) -> list[Line]:
    title = heading("Events", Line(), width=width, rule=options.glyphs.rule)
    rows = height - 1
    visible_events = [event for event in snapshot.events if event.type not in _HIDDEN_TYPES]
    shown = visible_events[-rows:] if rows > 0 else []
    if not shown:
        return [title, _no_events(snapshot)][:height]
    return [title, *(_row(event, options, width) for event in shown)][:height]


def draw_all(snapshot: Snapshot, options: DisplayOptions, width: int, height: int) -> list[Line]:
    """All received events, each in full, over several lines where it is long."""
    title = heading("Events", Line(), width=width, rule=options.glyphs.rule)
    shown = [event for event in snapshot.events if event.type not in _HIDDEN_TYPES]
    if not shown:
        return [title, _no_events(snapshot)]
    return [title, *(row for event in shown for row in _rows(event, width))]


def _no_events(snapshot: Snapshot) -> Line:
    return line(("no events yet" if snapshot.status is not None else "not known yet", Role.MUTED))


def _rows(event: EventView, width: int) -> list[Line]:
    role = Role.BAD if event.type in _ALERT_TYPES else Role.TEXT
    head = _head(event, role)
    indent = Line(tuple(head)).width
    first, *more = wrap_words(_event_text(event), max(20, width - indent))
    return [Line((*head, Span(first, role))), *(line(" " * indent, (text, role)) for text in more)]


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
