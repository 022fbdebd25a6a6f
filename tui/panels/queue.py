"""Jobs: state as symbol and word, and the reason for it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from rich.cells import cell_len

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

_WAITING_STATES = (JobState.QUEUED, JobState.HELD)
_MIN_WIDTH_WITH_KIND = 90
"""From this width, a job's kind is shown beside its name; in less, why it waits is worth more."""


def draw(snapshot: Snapshot, options: DisplayOptions, width: int, height: int) -> list[Line]:
    jobs = snapshot.status.jobs if snapshot.status else []
    title = heading("Queue", _summary(snapshot.status, options), width=width, rule=options.glyphs.rule)
    if not jobs:
        return [title, line(("empty" if snapshot.status is not None else "not known yet", Role.MUTED))][:height]
    shown = _without_what_is_above(sort_by_urgency(jobs), snapshot, max_rows=height - 1)[: height - 1]
    name_cells = min(24, max(14, width // 5), max((cell_len(job.name) for job in shown), default=0) + 1)
    return [title, *(_row(job, options, width, name_cells) for job in shown)][:height]


def _without_what_is_above(jobs: list[JobView], snapshot: Snapshot, *, max_rows: int) -> list[JobView]:
    """Without the shown run's job where not all fit: the screen's first lines have it, and others wait."""
    run = snapshot.run
    if run is None or len(jobs) <= max_rows or all(job.state not in _WAITING_STATES for job in jobs):
        return jobs
    return [job for job in jobs if job.id != run.job_id]


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


def _row(job: JobView, options: DisplayOptions, width: int, name_cells: int) -> Line:
    role = state_role(job.state)
    share = percent(job.progress, decimals=0) if job.progress is not None and job.ended_t is None else ""
    spans: list[Span] = [
        Span(f"{options.glyphs.states[job.state]} ", role),
        cell(job.state, 10, role),
        cell(f"#{job.id}", 5, Role.MUTED),
        *([cell(job.kind, 9, Role.MUTED)] if width >= _MIN_WIDTH_WITH_KIND else []),
        cell(job.name, name_cells),
        cell(share, 5, right=True),
        Span("  "),
        Span(job.reason, Role.MUTED),
    ]
    return Line(tuple(spans)).fit(width)
