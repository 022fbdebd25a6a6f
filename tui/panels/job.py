"""All details of one job."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from bertd.records import JobState
from bertd.run.amounts.durations import format_duration
from bertd.run.execution_text import execution_choices
from bertd.terminal_text import terminal_line
from tui.display_options import DisplayOptions
from tui.drawing.formatting import clock_near, percent
from tui.drawing.glyphs import state_role
from tui.drawing.lines import Line, Role, cell, heading, line, wrap_words

if TYPE_CHECKING:
    from bertd.api.models import JobView
    from bertd.records import StartRecord

HEIGHT = 7
"""Lines that a job with a short reason takes."""
_LABEL_WIDTH = 10
"""Cells."""
_MAX_LINES = 3
"""Most lines of one choice with its reason."""


def draw(job: JobView | None, start: StartRecord | None, now: float, options: DisplayOptions, width: int) -> list[Line]:
    """The job in full, where the queue has one row; `start` is its newest attempt's record."""
    if job is None:
        return []
    title = heading(f"Job {job.id}", line((str(job.kind), Role.MUTED)), width=width, rule=options.glyphs.rule)
    share = f", {percent(job.progress)}" if job.progress is not None else ""
    state = line((f"{options.glyphs.states[job.state]} {job.state}", state_role(job.state)), share)
    devices = ", ".join(job.devices) if job.devices else f"none yet; it needs {job.num_devices}"
    if job.ended_t is not None:
        devices = "released"
    facts = [
        ("name", line((job.name, Role.STRONG), (f"  of run {job.run_id}" if job.run_id else "", Role.MUTED))),
        ("state", state),
        *_wrapped("reason", job.reason, width),
        *(_wrapped("after", _after_text(job), width) if job.after else []),
        *_wrapped("devices", devices, width),
        *_wrapped("time", _times(job, now), width),
        *_wrapped("folder", job.folder, width, role=Role.MUTED),
    ]
    drawn = [title, *(line(cell(label, _LABEL_WIDTH, Role.MUTED)) + text for label, text in facts)]
    return drawn if start is None else [*drawn, *_choice_lines(start, width)]


def _after_text(job: JobView) -> str:
    """What it waits for, and which of that is reached."""
    texts = []
    for each in job.after:
        marker = f" at {percent(each.marker, decimals=0)}" if each.marker is not None else ""
        state = "reached" if each.is_met else str(each.state)
        texts.append(f"job {each.job_id}, {each.name}, {each.condition}{marker} ({state})")
    return "; ".join(texts)


def _wrapped(label: str, text: str, width: int, *, role: Role = Role.TEXT) -> list[tuple[str, Line]]:
    """A fact in full, over several lines where it is long."""
    rows = wrap_words(text, max(20, width - _LABEL_WIDTH))
    return [(label if number == 0 else "", line((row, role))) for number, row in enumerate(rows)]


def _choice_lines(start: StartRecord, width: int) -> list[Line]:
    """Execution choices (kernels, micro-batch, ...) with their reasons, wrapped to several lines."""
    drawn: list[Line] = []
    for choice in execution_choices(start):
        value, reason = terminal_line(choice.value), terminal_line(choice.reason)
        wrap = textwrap.TextWrapper(
            width=max(_LABEL_WIDTH, width - _LABEL_WIDTH),
            max_lines=_MAX_LINES,
            placeholder=" …",
            break_on_hyphens=False,
        )
        first, *more = wrap.wrap(f"{value}  {reason}") or [""]
        value, reason = first[: len(value)], first[len(value) :]
        drawn.append(line(cell(choice.name, _LABEL_WIDTH, Role.MUTED), (value, Role.STRONG), reason))
        drawn += [line(" " * _LABEL_WIDTH, row) for row in more]
    return drawn


def _times(job: JobView, now: float) -> str:
    text = f"queued {clock_near(job.created_t, now=now)} by uid {job.owner_uid}, priority {job.priority}"
    if job.started_t is None:
        is_waiting = job.state in (JobState.QUEUED, JobState.HELD)
        return f"{text}, waiting {format_duration(now - job.created_t)}" if is_waiting else text
    text += f", started {clock_near(job.started_t, now=now)}"
    if job.ended_t is None and job.expected_end_t is not None and job.expected_end_t > now:
        end = clock_near(job.expected_end_t, now=now)
        return f"{text}, ends about {end}, in {format_duration(job.expected_end_t - now)}"
    if job.ended_t is None:
        return text
    took = format_duration(job.ended_t - job.started_t)
    return f"{text}, ended {clock_near(job.ended_t, now=now)} after {took}"
