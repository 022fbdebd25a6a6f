"""The dashboard's content without a screen: once as text or JSON, or a line at each change."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator

from bertd.run.amounts.durations import format_duration
from bertd.terminal_text import terminal_json, terminal_line
from tui.display_options import DisplayOptions
from tui.drawing.formatting import clock, count, format_learning_rate, percent, short_count
from tui.drawing.formatting import loss as loss_text
from tui.drawing.lines import Line, plain_text
from tui.panels import budget, devices, events, glue, header, loss, queue, speed, welcome
from tui.snapshot import Feed, LinkState, Snapshot

MIN_WIDTH, MAX_WIDTH = 60, 200
_CHART_HEIGHT = 15
_UNLIMITED_HEIGHT = 10_000


def render_page(snapshot: Snapshot, options: DisplayOptions, width: int) -> str:
    """The Run screen as text, with all known devices, jobs and events."""
    width = min(MAX_WIDTH, max(MIN_WIDTH, width))
    if snapshot.run is None:
        drawn = [
            header.draw(snapshot, options, width, 1),
            [Line()],
            welcome.draw(snapshot, options, width, _UNLIMITED_HEIGHT),
        ]
    else:
        drawn = [
            header.draw(snapshot, options, width, 1),
            budget.draw(snapshot, options, width, 2),
            loss.LossPanel().draw(snapshot, options, width, _CHART_HEIGHT),
            speed.draw(snapshot, options, width, _UNLIMITED_HEIGHT),
        ]
    drawn += [
        devices.draw(snapshot, options, width, _UNLIMITED_HEIGHT),
        queue.draw(snapshot, options, width, _UNLIMITED_HEIGHT),
        glue.GluePanel().draw(snapshot, options, width, _UNLIMITED_HEIGHT),
        events.draw(snapshot, options, width, _UNLIMITED_HEIGHT),
    ]
    lines = [one for lines in drawn for one in lines]
    return plain_text(lines if options.glyphs.is_braille else [one.in_ascii for one in lines])


def render_json(snapshot: Snapshot) -> str:
    """Status and curves as one line of JSON; NaN becomes null."""
    status, series = snapshot.status, snapshot.series
    content = {
        "status": status.model_dump() if status else None,
        "series": series.model_dump() if series else None,
    }
    return terminal_json(json.dumps(_replace_nan(content), allow_nan=False))


def _replace_nan(value: object) -> object:
    match value:
        case float():
            return value if math.isfinite(value) else None
        case dict():
            return {key: _replace_nan(one) for key, one in value.items()}
        case list() | tuple():
            return [_replace_nan(one) for one in value]
        case _:
            return value


def summary(snapshot: Snapshot) -> str:
    """The run's state in one line, for logs and screen readers."""
    return terminal_line(_summary(snapshot))


def _summary(snapshot: Snapshot) -> str:
    link, run = snapshot.link, snapshot.run
    if link.state is LinkState.LOST:
        return f"daemon lost: {link.problem}"
    if snapshot.status is None:
        return f"connecting: {link.problem}" if link.problem else "connecting"
    if run is None:
        return "no run yet"
    parts = [f"{run.id} {run.state}", f"{percent(run.budget.progress)} spent"]
    if run.budget.remaining_s is not None:
        parts.append(f"{format_duration(run.budget.remaining_s)} left")
    step, validation = run.step, run.validation
    if step is not None:
        parts += [f"step {count(step.step)}", f"loss {loss_text(step.loss)}"]
    if validation is not None:
        parts.append(f"validation {loss_text(validation.loss)}")
    if step is not None:
        parts += [f"{short_count(step.sequences_per_s)} sequences/s", f"{short_count(step.tokens_per_s)} tokens/s"]
        parts.append(f"lr {format_learning_rate(step.lr)}")
    return ", ".join(parts)


def follow_lines(feed: Feed, *, wait: Callable[[float], None] = time.sleep, every_s: float = 1.0) -> Iterator[str]:
    """Yield a line for each event and each change of the summary, endlessly."""
    last_summary = ""
    last_id: int | None = None
    while True:
        snapshot = feed.snapshot()
        for event in snapshot.events:
            if last_id is not None and event.id > last_id and event.type != "step":
                yield terminal_line(f"{clock(event.t)} {event.type}: {event.text}")
        if snapshot.status is not None:
            last_id = max((event.id for event in snapshot.events), default=last_id or 0)
        current_summary = summary(snapshot)
        if current_summary != last_summary:
            last_summary = current_summary
            yield f"{clock(snapshot.now)} {last_summary}"
        wait(every_s)
