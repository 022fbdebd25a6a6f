"""The rows of the queue's own view: the tree, with each job's reason and when it is expected to start or to end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from bertd.run.amounts.durations import format_duration
from tui.display_options import DisplayOptions
from tui.drawing.formatting import clock_near, percent
from tui.drawing.glyphs import state_role
from tui.drawing.lines import Line, Role, Span, cell
from tui.queue_tree import Node
from tui.snapshot import ENDED_STATES

if TYPE_CHECKING:
    from bertd.api.models import JobView
    from bertd.api.sweep_models import SweepView

_MAX_INDENT = 4
"""Levels that are drawn; deeper ones are drawn as the last of them."""
_WIDE = 96
"""From this width the expected times have a column."""
_TIME_CELLS = 17


def draw_rows(nodes: Sequence[Node], now: float, options: DisplayOptions, width: int) -> list[Line]:
    """A line for each row."""
    return [
        _job_row(node.job, node.depth, now, options, width)
        if node.job is not None
        else _sweep_row(node.sweep, options, width)
        for node in nodes
        if node.job is not None or node.sweep is not None
    ]


def _job_row(job: JobView, depth: int, now: float, options: DisplayOptions, width: int) -> Line:
    role = state_role(job.state)
    share = percent(job.progress, decimals=0) if job.progress is not None and job.ended_t is None else ""
    name_cells = min(26, max(14, width // 5))
    times = [cell(expected_text(job, now=now), _TIME_CELLS, Role.MUTED)] if width >= _WIDE else []
    return Line(
        (
            Span(f"{options.glyphs.states[job.state]} ", role),
            cell(job.state, 10, role),
            cell(f"#{job.id}", 5, Role.MUTED),
            *([cell(job.kind, 9, Role.MUTED)] if width >= 76 else []),
            cell(_indent(depth, options) + job.name, name_cells),
            cell(share, 5, right=True),
            Span("  "),
            *times,
            Span(job.reason, Role.MUTED),
        )
    ).fit(width)


def _sweep_row(sweep: SweepView | None, options: DisplayOptions, width: int) -> Line:
    assert sweep is not None
    states = ", ".join(f"{number} {state}" for state, number in sweep.num_by_state.items())
    return Line(
        (
            Span(f"{options.glyphs.rule} ", Role.MUTED),
            cell(sweep.state, 10, Role.MUTED),
            Span(f"sweep {sweep.name}", Role.STRONG),
            Span(f"  {sweep.num_settings} settings: {states}; {format_duration(sweep.charged_s)} charged", Role.MUTED),
        )
    ).fit(width)


def expected_text(job: JobView, *, now: float) -> str:
    """`starts 22:15`, or `ends 23:40` of a job that has begun; empty where it is not known."""
    if job.state in ENDED_STATES:
        return ""
    if job.started_t is None and job.expected_start_t is not None and job.expected_start_t > now:
        return f"starts {clock_near(job.expected_start_t, now=now)}"
    if job.expected_end_t is not None and job.expected_end_t > now:
        return f"ends {clock_near(job.expected_end_t, now=now)}"
    return ""


def _indent(depth: int, options: DisplayOptions) -> str:
    if not depth:
        return ""
    corner = "└ " if options.glyphs.is_braille else "`-"
    return "  " * (min(depth, _MAX_INDENT) - 1) + corner
