"""Jobs: state as symbol and word, and the reason for it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from bertd.records import JobState
from bertd.records.states import HIGHEST_PRIORITY
from tui.display_options import DisplayOptions
from tui.drawing.formatting import percent
from tui.drawing.glyphs import state_role
from tui.drawing.lines import Line, Role, Span, cell, heading, line
from tui.snapshot import Snapshot

if TYPE_CHECKING:
    from bertd.api.models import JobView, StatusView

_STATE_ORDER = [
    JobState.RUNNING,
    JobState.STARTING,
    JobState.PAUSING,
    JobState.STOPPING,
    JobState.PAUSED,
    JobState.QUEUED,
    JobState.HELD,
    JobState.LOST,
    JobState.FAILED,
    JobState.DONE,
    JobState.CANCELLED,
]

_MIN_WIDTH_WITH_KIND = 76
"""From this width, a job's kind is shown beside its name."""


def draw(snapshot: Snapshot, options: DisplayOptions, width: int, height: int) -> list[Line]:
    jobs = snapshot.status.jobs if snapshot.status else []
    title = heading("Queue", _summary(snapshot.status, options), width=width, rule=options.glyphs.rule)
    if not jobs:
        return [title, line(("empty" if snapshot.status is not None else "not known yet", Role.MUTED))][:height]
    rows = [_row(job, options, width) for job in sort_by_urgency(jobs)[: height - 1]]
    return [title, *rows][:height]


def sort_by_urgency(jobs: list[JobView]) -> list[JobView]:
    """Running jobs, then waiting ones by priority, then finished ones, newest first."""
    return sorted(jobs, key=lambda job: (_STATE_ORDER.index(job.state), -job.priority, _age_sort_key(job)))


def urgency(job: JobView) -> tuple[float, ...]:
    """The smaller, the further up; see `sort_by_urgency`. A queued job whose position is known is at it."""
    if job.position is not None:
        return (_STATE_ORDER.index(job.state), -HIGHEST_PRIORITY - 1, job.position)
    return (_STATE_ORDER.index(job.state), -job.priority, _age_sort_key(job))


def heading_line(snapshot: Snapshot, options: DisplayOptions, width: int) -> Line:
    """The title, with the number of jobs in each state."""
    return heading("Queue", _summary(snapshot.status, options), width=width, rule=options.glyphs.rule)


def _age_sort_key(job: JobView) -> int:
    return -job.id if job.ended_t is not None else job.id


def _summary(status: StatusView | None, options: DisplayOptions) -> Line:
    """Number of jobs in each state, of all; and how many of them are in the list, if some are not."""
    if status is None:
        return Line()
    counts = status.num_jobs_by_state or Counter(job.state for job in status.jobs)
    parts = [f"{counts[state]} {state}" for state in _STATE_ORDER if counts.get(state)]
    if status.num_jobs > len(status.jobs):
        parts.append(f"{len(status.jobs)} of {status.num_jobs} shown")
    return line((options.glyphs.dot.join(parts), Role.MUTED))


def _row(job: JobView, options: DisplayOptions, width: int) -> Line:
    role = state_role(job.state)
    share = percent(job.progress, decimals=0) if job.progress is not None and job.ended_t is None else ""
    spans: list[Span] = [
        Span(f"{options.glyphs.states[job.state]} ", role),
        cell(job.state, 10, role),
        cell(f"#{job.id}", 5, Role.MUTED),
        *([cell(job.kind, 9, Role.MUTED)] if width >= _MIN_WIDTH_WITH_KIND else []),
        cell(job.name, min(24, max(14, width // 5))),
        cell(share, 5, right=True),
        Span("  "),
        Span(job.reason, Role.MUTED),
    ]
    return Line(tuple(spans)).fit(width)
