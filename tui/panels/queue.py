"""Jobs: state by sign and word, and why each one stands there."""

from __future__ import annotations

from collections import Counter

from bertd.records import JobState
from bertd.wire import JobView
from tui.glyphs import state_role
from tui.lines import Line, Role, Span, cell, heading, line
from tui.look import Look
from tui.quantities import percent
from tui.snapshot import Snapshot

_ORDER = [
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

_WITH_KIND = 76
"""Cells from which on the kind of a job is spelt out beside its name."""


def draw(snapshot: Snapshot, look: Look, width: int, height: int) -> list[Line]:
    jobs = snapshot.status.jobs if snapshot.status else []
    title = heading("Queue", _summary(jobs, look), width=width, rule=look.glyphs.rule)
    if not jobs:
        return [title, line(("empty", Role.MUTED))][:height]
    rows = [_row(job, look, width) for job in by_urgency(jobs)[: height - 1]]
    return [title, *rows][:height]


def by_urgency(jobs: list[JobView]) -> list[JobView]:
    """What runs first, then what waits by priority, then what is over, newest first."""
    return sorted(jobs, key=lambda job: (_ORDER.index(job.state), -job.priority, _age_order(job)))


def _age_order(job: JobView) -> int:
    return -job.id if job.ended_t is not None else job.id


def _summary(jobs: list[JobView], look: Look) -> Line:
    counts = Counter(job.state for job in jobs)
    text = look.glyphs.dot.join(f"{counts[state]} {state}" for state in _ORDER if counts[state])
    return line((text, Role.MUTED))


def _row(job: JobView, look: Look, width: int) -> Line:
    role = state_role(job.state)
    share = percent(job.progress, decimals=0) if job.progress is not None and job.ended_t is None else ""
    spans: list[Span] = [
        Span(f"{look.glyphs.states[job.state]} ", role),
        cell(job.state, 10, role),
        cell(f"#{job.id}", 5, Role.MUTED),
        *([cell(job.kind, 9, Role.MUTED)] if width >= _WITH_KIND else []),
        cell(job.name, min(24, max(14, width // 5))),
        cell(share, 5, right=True),
        Span("  "),
        Span(job.reason, Role.MUTED),
    ]
    return Line(tuple(spans)).fit(width)
