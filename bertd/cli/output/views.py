"""Format the daemon's answers as text.

An answer is either a model of bertd.api.models, or as `bertd.api.unchecked` reads it, whose enums are strings: members
of enums are compared with `==` here and in the modules that this one uses.
"""

from __future__ import annotations

import math
import shlex
import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from bertd.cli.output.device_table import device_table
from bertd.cli.output.energy_text import format_energy
from bertd.cli.output.expected_times import describe_expected_times, describe_reason, format_expected
from bertd.cli.output.tables import BOLD, CYAN, DIM, GREEN, RED, YELLOW, Cell, OutputStyle, Row, format_table, wrap_text
from bertd.records import DependencyCondition, DependencyState, JobKind, JobState
from bertd.run.amounts.durations import format_duration
from bertd.run.amounts.quantities import format_budget_amount, format_bytes, format_count, format_share
from bertd.run.execution_text import execution_choices
from bertd.run.forecast.forecast_text import forecast_text, typical_text
from bertd.terminal_text import terminal_line

if TYPE_CHECKING:
    from bertd.api.models import (
        BudgetView,
        DependencyView,
        DiskQuotaView,
        EventView,
        JobView,
        MarkerGridView,
        RunView,
        ScoreView,
        StatusView,
        VersionView,
    )
    from bertd.records import Via

_STATE_COLORS: dict[JobState, tuple[str, ...]] = {
    JobState.RUNNING: (GREEN,),
    JobState.STARTING: (CYAN,),
    JobState.PAUSING: (YELLOW,),
    JobState.PAUSED: (YELLOW,),
    JobState.STOPPING: (YELLOW,),
    JobState.HELD: (YELLOW,),
    JobState.FAILED: (RED, BOLD),
    JobState.LOST: (RED, BOLD),
    JobState.CANCELLED: (DIM,),
    JobState.DONE: (DIM,),
}
_URGENCY: dict[JobState, int] = {
    JobState.RUNNING: 0,
    JobState.STARTING: 0,
    JobState.PAUSING: 0,
    JobState.STOPPING: 0,
    JobState.PAUSED: 1,
    JobState.QUEUED: 2,
    JobState.HELD: 3,
    JobState.FAILED: 4,
    JobState.LOST: 4,
    JobState.DONE: 4,
    JobState.CANCELLED: 4,
}
"""What a person looks for first has the lowest number."""
_NUM_EVENTS = 5
_NUM_WAITING = 10
"""Waiting jobs in `bertd status`; all that run are in it."""
_NUM_OVER = 3
_WIDTH_WITH_BAR = 130
_WARN_SHARE = 0.9
"""Of a quota of the disk, as the daemon warns of it."""


def status_text(status: StatusView, *, now: float, style: OutputStyle) -> str:
    """What `bertd status` prints: the daemon, the runs, the queue, the devices and the last events."""
    no_run = "No run yet; start one with `bertd submit RECIPE`."
    parts = [
        _daemon_line(status.version, now=now, style=style),
        _read_only_text(status.version, style=style),
        runs_text(_relevant_runs(status.runs), style=style) if status.runs else no_run,
        _queue_text(status, now=now, style=style),
        device_table(status.devices, style=style) if status.devices else "",
        _quota_text(status.disk_quota, style=style),
        _events_text(status.events[-_NUM_EVENTS:], style=style),
    ]
    return "\n\n".join(part for part in parts if part)


def _quota_text(disk: DiskQuotaView | None, *, style: OutputStyle) -> str:
    """How much of the quota of all jobs is used; empty where there is none."""
    if disk is None or disk.quota_bytes is None:
        return ""
    share = disk.used_bytes / disk.quota_bytes
    colors = (RED,) if share >= 1 else (YELLOW,) if share >= _WARN_SHARE else ()
    text = f"disk: {format_bytes(disk.used_bytes)} of the quota of {format_bytes(disk.quota_bytes)} ({share:.0%})"
    text += "; no new job is accepted" if share >= 1 else ""
    return style.paint(wrap_text(text, style=style, indent=2), *colors)


def _relevant_runs(runs: list[RunView]) -> list[RunView]:
    """What runs, then what waits, then what is over; a few of those that wait."""
    ranked = sorted(runs, key=lambda run: (_URGENCY[run.state], -run.job_id))
    live = [run for run in ranked if _URGENCY[run.state] == 0]
    return [*live, *ranked[len(live) :][:_NUM_WAITING]]


def _queue_text(status: StatusView, *, now: float, style: OutputStyle) -> str:
    """The jobs that run, the next ones, and the newest that are over; and how many there are."""
    if not status.jobs:
        return ""
    ranked = sorted(status.jobs, key=lambda job: (_URGENCY[job.state], *_order_in_state(job)))
    live = [job for job in ranked if _URGENCY[job.state] == 0]
    waiting = [job for job in ranked if job.ended_t is None and _URGENCY[job.state] > 0]
    over = sorted((job for job in ranked if job.ended_t is not None), key=lambda job: -job.id)
    shown = [*live, *waiting[:_NUM_WAITING], *over[:_NUM_OVER]]
    table = jobs_text(shown, now=now, style=style)
    if len(shown) == _count_jobs(status):
        return table
    return f"{table}\n{style.paint(f'{len(shown)} of {_count_jobs(status)} jobs shown; `bertd jobs` lists all', DIM)}"


def _count_jobs(status: StatusView) -> int:
    """All jobs, shown or not."""
    return max(len(status.jobs), sum(status.num_jobs_by_state.values()))


def _order_in_state(job: JobView) -> tuple[int, int]:
    """Queued jobs as they are served; the others newest first."""
    return (-job.priority, job.id) if job.state == JobState.QUEUED else (0, -job.id)


def runs_text(runs: Iterable[RunView], *, style: OutputStyle) -> str:
    """One line per run: what is left of its budget, and its newest figures."""
    header = ["RUN", "STATE", "BUDGET", "LEFT", "RESERVE", "STEP", "LOSS", "VALIDATION", "SEQUENCES/S", "WHY"]
    is_wide = style.width is None or style.width >= _WIDTH_WITH_BAR
    rows: list[Row] = [
        [
            Cell(run.id, (BOLD,)),
            state_cell(run.state),
            (f"{style.bar(run.budget.progress, cells=10)} " if is_wide else "") + _spent_text(run.budget),
            _left_text(run) or style.dash,
            style.dash if run.budget.reserve_s is None else format_duration(run.budget.reserve_s),
            f"{run.step.step:,}" if run.step else style.dash,
            f"{run.step.loss:.3f}" if run.step else style.dash,
            f"{run.validation.loss:.3f}" if run.validation else style.dash,
            f"{run.step.sequences_per_s:,.0f}" if run.step else style.dash,
            Cell(run.reason, (DIM,)),
        ]
        for run in runs
    ]
    if not is_wide:
        # The queue, which follows, has the reasons.
        header, rows = header[:-1], [row[:-1] for row in rows]
    return format_table(
        header,
        rows,
        right={3, 4, 5, 6, 7, 8},
        style=style,
        shrink={0: 12, 2: 20},
        drop=(8, 5, 4, 7, 3) if not is_wide else (),
    )


def _spent_text(budget: BudgetView) -> str:
    return f"{format_share(budget.progress)} of {amount(budget)}"


def _left_text(run: RunView) -> str:
    """What is left of the budget; empty if it is not known, or the run will not use it."""
    if run.budget.remaining_s is None or run.state in (JobState.DONE, JobState.CANCELLED):
        return ""
    return format_duration(run.budget.remaining_s)


def jobs_text(jobs: Iterable[JobView], *, now: float, style: OutputStyle) -> str:
    """The queue, one line per job, with the reason for its state."""
    rows: list[Row]
    header = ["JOB", "KIND", "NAME", "STATE", "DONE", "PRIORITY", "DEVICES", "AGE", "STARTS", "ENDS", "WHY"]
    rows = [
        [
            str(job.id),
            job.kind,
            Cell(job.name, (BOLD,)),
            state_cell(job.state),
            style.dash if job.progress is None else format_share(job.progress),
            str(job.priority),
            str(job.num_devices),
            format_duration(now - job.created_t),
            format_expected(job.expected_start_t, now=now, unknown=style.dash),
            format_expected(job.expected_end_t, now=now, unknown=style.dash),
            Cell(describe_reason(job, now=now), (DIM,)),
        ]
        for job in jobs
    ]
    drop = (6, 7, 5, 1, 8, 9, 4)
    return format_table(header, rows, right={0, 4, 5, 6, 7, 8, 9}, style=style, shrink={2: 8}, drop=drop)


def name_start(task: str, via: Via | None) -> str:
    """A task as a table names it, with the task on which its model was finetuned before."""
    return task if via is None else f"{task} from {via.upper()}"


def scores_text(scores: Iterable[ScoreView], *, style: OutputStyle) -> str:
    """One line per score, next to that of always guessing the most common label."""
    rows: list[Row]
    header = ["JOB", "TASK", "METRIC", "SCORE", "MAJORITY", "TRAIN", "DEV", "SEED", "LR", "BATCH", "EPOCHS"]
    header += ["PRECISION", "SOURCE"]
    rows = [
        [
            str(view.job_id),
            name_start(view.score.task, view.score.via),
            view.score.metric,
            Cell(f"{view.score.score:.4f}", (BOLD,)),
            f"{view.score.majority_score:.4f}",
            f"{view.score.num_train:,}",
            f"{view.score.num_dev:,}",
            str(view.score.seed),
            f"{view.score.lr:g}",
            str(view.score.batch_size),
            str(view.score.epochs),
            view.score.precision or style.dash,
            view.score.source,
        ]
        for view in scores
    ]
    drop = (10, 9, 11, 7, 6, 5, 8, 2)
    return format_table(header, rows, right={0, 3, 4, 5, 6, 7, 8, 9, 10}, style=style, drop=drop)


def job_text(job: JobView, run: RunView | None, scores: Sequence[ScoreView], *, now: float, style: OutputStyle) -> str:
    """All details of one job."""
    fields = [
        ("job", f"{job.id}, {job.kind}"),
        ("name", job.name),
        ("state", f"{job.state}: {describe_reason(job, now=now)}" if job.reason else str(job.state)),
        ("expected", describe_expected_times(job, now=now)),
        ("run", job.run_id),
        ("command", shlex.join(job.argv)),
        ("folder", job.folder),
        ("devices", _describe_lease(job)),
        ("begin", "" if job.begin_t is None else f"not before {_local_time(job.begin_t)}"),
        ("hours", "" if job.only is None else f"{job.only} alone, in the daemon's local time"),
        ("after", "; ".join(_describe_dependency(each) for each in job.after)),
        ("submitted", f"{_local_time(job.created_t)} by uid {job.owner_uid}, priority {job.priority}"),
        ("started", _local_time(job.started_t)),
        ("ended", _local_time(job.ended_t)),
        ("progress", _describe_progress(job, now=now)),
        ("measured", "" if job.evaluation is None else f"{job.evaluation.model} on {job.evaluation.shards}"),
    ]
    if job.software_changes:
        fields.append(("software", f"changed since it was queued or last started: {'; '.join(job.software_changes)}"))
    if job.energy:
        fields.append(("energy", format_energy(job.energy)))
    fields += _run_fields(run, now=now) if run else []
    lines = [
        f"{style.paint(name.ljust(11), DIM)} {wrap_text(terminal_line(value), style=style, indent=12)}"
        for name, value in fields
        if value
    ]
    return "\n".join(lines) + ("\n\n" + scores_text(scores, style=style) if scores else "")


def _describe_dependency(dependency: DependencyView) -> str:
    """What it waits for, or waited for, and whether that is met."""
    who = f"job {dependency.job_id} ({dependency.name})"
    share = format_share(dependency.marker or 0.0)
    conditions = {
        DependencyCondition.DONE: "is done",
        DependencyCondition.ENDED: "is over",
        DependencyCondition.MARKER: f"has spent {share} of its budget",
    }
    if dependency.state == DependencyState.WAIVED:
        how = "waived by a person"
    else:
        how = "met" if dependency.is_met else str(dependency.state)
    return f"{who} {conditions[dependency.condition]}: {how}"


def _describe_lease(job: JobView) -> str:
    size = "" if job.memory_bytes is None else f" of {format_bytes(job.memory_bytes)}"
    if job.devices:
        return f"{job.num_devices}{size}: {', '.join(job.devices)}"
    return f"{job.num_devices}{size}, released" if job.ended_t else f"needs {job.num_devices}{size}, holds none"


def _describe_progress(job: JobView, *, now: float) -> str:
    """How far a job is that has no budget; empty for a run, and for a job that has not begun."""
    if job.kind == JobKind.PRETRAIN or job.progress is None:
        return ""
    text = format_share(job.progress)
    # A grid's reason has its end, from the trials that were measured.
    is_measured = job.state == JobState.RUNNING and job.kind != JobKind.GRID and job.progress > 0
    if not is_measured or job.started_t is None:
        return text
    left_s = (now - job.started_t) * (1 - job.progress) / job.progress
    return f"{text}, about {format_duration(max(0.0, left_s))} left"


def _run_fields(run: RunView, *, now: float) -> list[tuple[str, str]]:
    budget = run.budget
    left = f", {_left_text(run)} left" if _left_text(run) else ""
    fields = [
        ("model", run.model),
        ("budget", f"{_spent_text(budget)}{left}, {format_duration(budget.charged_s)} charged"),
    ]
    if budget.reserve_s is not None:
        fields.append(
            ("reserve", f"{format_duration(budget.reserve_s)} after that, for the last validation, save and export")
        )
    if start := run.start:
        fields.append(("runs on", f"{start.world_size} x {start.device_name}, {start.precision}"))
        if start.start_from:
            fields.append(("start from", start.start_from))
        fields += [(choice.name, str(choice)) for choice in execution_choices(start)]
    if change := run.budget_change:
        before = format_budget_amount(change.unit, change.before)
        spent = format_budget_amount(change.unit, change.spent)
        fields.append(("changed", f"from {before} at step {change.step:,}, when {spent} were spent"))
    if devices_change := run.devices_change:
        fields.append(
            ("ranks", f"{devices_change.after} since step {devices_change.step:,}, {devices_change.before} before")
        )
    if step := run.step:
        # The newest record is from before the end, where the rate reached 0.
        rate = "" if run.end is not None else f", learning rate {step.lr:.3g}"
        fields.append(("step", f"{step.step:,}, loss {step.loss:.4f}{rate}"))
        fields.append(("speed", f"{step.sequences_per_s:,.1f} sequences/s, {step.tokens_per_s:,.0f} tokens/s"))
    if validation := run.validation:
        best = "" if run.best_validation is None else f", best {run.best_validation:.4f}"
        # Records of an older bertd do not have it.
        has_unigram_loss = not math.isnan(validation.unigram_loss)
        unigram_text = f"; a guess by word frequency: {validation.unigram_loss:.4f}" if has_unigram_loss else ""
        part = "" if validation.share == 1.0 else f" on {validation.share:.0%} of the set, for which there was time"
        place = f"at step {validation.step:,}{part}"
        fields.append(("validation", f"{validation.loss:.4f} nats {place}{best}{unigram_text}"))
    if (forecast := run.forecast) and run.end is None:
        typical = typical_text(forecast)
        fields.append(("forecast", f"{forecast_text(forecast)} at the end{f'; {typical}' if typical else ''}"))
    if checkpoint := run.checkpoint:
        age = format_duration(now - checkpoint.t)
        fields.append(("checkpoint", f"{checkpoint.name}, {format_bytes(checkpoint.size_bytes)}, {age} old"))
        skipped_text = f"; {checkpoint.skipped} left out on a slow disk" if checkpoint.skipped else ""
        stall = f"training paused for {checkpoint.stall_share:.3%} of the time, {checkpoint.stall_s:.2f} s at the last"
        fields.append(("saving", f"{stall}; written in {checkpoint.write_s:.1f} s{skipped_text}"))
    if disk := run.disk:
        quota = "" if disk.quota_bytes is None else f" of the quota of {format_bytes(disk.quota_bytes)}"
        fields.append(("disk", f"{format_bytes(disk.used_bytes)}{quota}, its folder with exports and finetunings"))
    for kept in run.kept:
        what = f"{kept.name} at {format_share(kept.progress)}, {format_bytes(kept.size_bytes)}"
        fields.append(("kept", f"{what}: {', '.join(kept.reasons)}"))
    fields += [("grid", _describe_grid(grid)) for grid in run.grids]
    if run.export:
        fields.append(("export", f"{run.export.name}, {run.export.architecture}"))
    if run.restarts:
        fields.append(("restarts", f"{run.restarts}, {format_count(run.steps_lost, 'step')} lost"))
    if run.alert:
        fields.append(("alert", f"{run.alert.level} {run.alert.code}: {run.alert.message}"))
    if run.end:
        fields.append(("end", f"{run.end.reason}: {run.end.detail}"))
    return fields


def _describe_grid(grid: MarkerGridView) -> str:
    """A grid that the run's recipe asks for, and what became of it."""
    where = "the run's end" if grid.marker == 1.0 else f"marker {grid.marker:g}"
    if grid.grid_job_id is not None:
        return f"of {where}: job {grid.grid_job_id}"
    return f"of {where}: {grid.state}{f': {grid.reason}' if grid.reason else ''}"


def amount(budget: BudgetView) -> str:
    """The budget's amount, such as `24h 00m` or `500 steps`."""
    return format_budget_amount(budget.unit, budget.amount)


def state_cell(state: JobState) -> Cell:
    """A state in its colour."""
    return Cell(state, _STATE_COLORS.get(state, ()))


def _daemon_line(version: VersionView, *, now: float, style: OutputStyle) -> str:
    age = format_duration(now - version.started_t)
    name = f"bertd {terminal_line(version.bertd)}"
    rest = f", pid {version.pid}, up {age}, state in {terminal_line(version.state_dir)}"
    return style.paint(name, BOLD) + wrap_text(name + rest, style=style, indent=2).removeprefix(name)


def _read_only_text(version: VersionView, *, style: OutputStyle) -> str:
    if version.read_only is None:
        return ""
    text = f"read-only, as of the last change that could be read: {terminal_line(version.read_only)}"
    return style.paint(wrap_text(text, style=style, indent=2), RED)


def _events_text(events: list[EventView], *, style: OutputStyle) -> str:
    header = ["TIME", "JOB", "EVENT"]
    rows = [
        [_local_time(event.t), style.dash if event.job_id is None else str(event.job_id), event.text]
        for event in events
    ]
    return format_table(header, rows, right={1}, style=style, drop=(1,)) if rows else ""


def _local_time(t: float | None) -> str:
    return "" if t is None else time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(t))
