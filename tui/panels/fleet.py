"""One line per daemon: whether it is there, its run, what is left of the budget, loss, devices and queue."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bertd.records import JobState
from bertd.run.amounts.durations import format_duration
from tui.display_options import DisplayOptions
from tui.drawing.formatting import loss, percent
from tui.drawing.glyphs import Glyphs, state_role
from tui.drawing.lines import Line, Role, Span, cell, heading, line
from tui.snapshot import LinkState, Member, Snapshot
from tui.written_view import Cell, Table

if TYPE_CHECKING:
    from bertd.api.models import StatusView

_NAME_CELLS = 20
_LINK_CELLS = 14
_MIN_WIDTH_WITH_STATE = 100
"""From this width the run's state has a column beside its name."""

_FRESH_WORDS = {LinkState.SIMULATED: "simulated", LinkState.REPLAY: "replay"}


def draw(snapshot: Snapshot, options: DisplayOptions, width: int, height: int) -> list[Line]:
    """The daemons in the order in which they were named, with what is known of each, also of one that is lost."""
    members = list_members(snapshot)
    is_wide = width >= _MIN_WIDTH_WITH_STATE
    seen = sum(one.snapshot.link.is_fresh for one in members)
    title = heading(
        "Fleet", line((f"{seen} of {len(members)} answer", Role.MUTED)), width=width, rule=options.glyphs.rule
    )
    names = [("host", _name_cells(width)), ("daemon", _LINK_CELLS), ("run", _run_cells(width))]
    names += [("state", 12)] if is_wide else []
    names += [("left", 9), ("spent", 8), ("loss", 8), ("devices", 9), ("queue", 14)]
    columns = Line(tuple(cell(name, cells, Role.MUTED) for name, cells in names)).fit(width)
    return [title, columns, *(_row(one, options, width) for one in members)][:height]


def list_members(snapshot: Snapshot) -> tuple[Member, ...]:
    """All daemons; of a dashboard with one, that one."""
    return snapshot.fleet or (Member(snapshot.host or "this machine", snapshot),)


def _name_cells(width: int) -> int:
    return min(_NAME_CELLS, max(10, width // 6))


def _run_cells(width: int) -> int:
    return max(8, min(28, width // 5))


def _row(member: Member, options: DisplayOptions, width: int) -> Line:
    snapshot, glyphs = member.snapshot, options.glyphs
    spans = [cell(member.name, _name_cells(width) - 1, Role.STRONG), Span(" "), _link_cell(snapshot, glyphs)]
    if snapshot.status is None:
        return Line((*spans, Span(snapshot.link.problem or "not known yet", Role.WAITING))).fit(width)
    return Line((*spans, *_run_spans(snapshot, glyphs, width), *_box_spans(snapshot.status))).fit(width)


def _link_cell(snapshot: Snapshot, glyphs: Glyphs) -> Span:
    """As a symbol and a word, with the age of what is shown where it is not fresh."""
    link = snapshot.link
    if link.is_fresh:
        word = _FRESH_WORDS.get(link.state, "live")
        return cell(f"{glyphs.live} {word}", _LINK_CELLS, Role.GOOD)
    if link.state is LinkState.CONNECTING:
        return cell("? none yet" if link.problem else "? connecting", _LINK_CELLS, Role.WAITING)
    word = "lost" if link.state is LinkState.LOST else "silent"
    symbol = glyphs.cross if link.state is LinkState.LOST else "?"
    role = Role.BAD if link.state is LinkState.LOST else Role.WAITING
    return cell(f"{symbol} {word} {format_duration(link.silent_s)}", _LINK_CELLS, role)


def _run_spans(snapshot: Snapshot, glyphs: Glyphs, width: int) -> list[Span]:
    run, is_wide = snapshot.run, width >= _MIN_WIDTH_WITH_STATE
    cells = _run_cells(width)
    if run is None:
        return [cell("no run yet", cells + (12 if is_wide else 0) + 25, Role.MUTED)]
    symbol = glyphs.states[run.state] if snapshot.link.is_fresh else "?"
    role = state_role(run.state) if snapshot.link.is_fresh else Role.WAITING
    left_s = run.budget.remaining_s
    newest = run.validation.loss if run.validation is not None else run.step.loss if run.step is not None else None
    return [
        Span(f"{symbol} ", role),
        cell(run.id, cells - 3),
        Span(" "),
        *([cell(run.state, 12, role)] if is_wide else []),
        cell(format_duration(left_s) if left_s is not None else "", 9, Role.STRONG),
        cell(percent(run.budget.progress), 8),
        cell(loss(newest) if newest is not None else "", 8),
    ]


def _box_spans(status: StatusView) -> list[Span]:
    """How many devices have a job, and how many jobs run and wait."""
    busy = sum(bool(device.job_ids or device.job_id is not None) for device in status.devices)
    wrong = sum(device.health != "ok" for device in status.devices)
    counts = status.num_jobs_by_state
    waiting = counts.get(JobState.QUEUED, 0) or sum(job.state is JobState.QUEUED for job in status.jobs)
    running = counts.get(JobState.RUNNING, 0) or sum(job.state is JobState.RUNNING for job in status.jobs)
    devices = f"{busy}/{len(status.devices)}" + (f" {wrong} bad" if wrong else "")
    return [
        cell(devices, 9, Role.BAD if wrong else Role.TEXT),
        Span(f"{running} run, {waiting} wait", Role.MUTED),
    ]


def fleet_table(snapshot: Snapshot) -> Table:
    """A row for each daemon."""
    heads = ["host", "daemon", "silent_s", "run", "state", "remaining_s", "progress", "loss", "devices", "jobs"]
    rows: list[list[Cell]] = []
    for member in list_members(snapshot):
        shown = member.snapshot
        run, status = shown.run, shown.status
        figures: list[Cell] = [None] * 5
        if run is not None:
            newest = run.validation or run.step
            figures = [run.id, run.state, run.budget.remaining_s, run.budget.progress, newest.loss if newest else None]
        counts: list[Cell] = [len(status.devices), status.num_jobs] if status is not None else [None, None]
        rows.append([member.name, shown.link.state, shown.link.silent_s, *figures, *counts])
    return [heads, *rows]
