"""What an action costs the budget and what it frees, from what this run has measured. Pure.

Nothing is guessed: a figure that the run has not measured yet is called unknown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bertd.records import JobKind, PauseKind
from bertd.run.amounts.durations import format_duration
from bertd.run.amounts.quantities import format_bytes, format_count
from tui.drawing.formatting import clock_near, percent
from tui.snapshot import Snapshot

if TYPE_CHECKING:
    from bertd.api.models import JobView, LendEstimateView, RunView, StatusView

_MAX_NAMED_JOBS = 3
_MAX_SECONDS = 100
"""Shown with tenths; more in minutes."""


@dataclass(frozen=True)
class CostRow:
    """One line of a dialog: what is affected, and how."""

    label: str
    text: str


def pause_costs(job: JobView, run: RunView | None) -> list[CostRow]:
    """Of a cold pause, with the resume that follows it."""
    if job.pause is PauseKind.HOT:
        return [_charged(run, [("to start again", _start_s(run))]), _freed(job)]
    save_s = run.checkpoint.seconds if run is not None and run.checkpoint is not None else None
    return [
        _charged(run, [("to save", save_s), ("to start again", _start_s(run))]),
        _freed(job),
    ]


def hot_pause_costs() -> list[CostRow]:
    """Of a pause that keeps the memory."""
    return [CostRow("charged", "nothing"), CostRow("frees", "no device, and no memory")]


def resume_costs(job: JobView, run: RunView | None, status: StatusView | None) -> list[CostRow]:
    """Of a resume."""
    if job.pause is PauseKind.HOT:
        return [CostRow("charged", "nothing to start: its ranks continue from memory")]
    needs = format_count(job.num_devices, "device")
    free = _count_free_gpus(status)
    text = needs if free is None else f"{needs}; {free} free now"
    if free is not None and free < job.num_devices:
        text += ", so it waits in the queue"
    return [_charged(run, [("to start", _start_s(run))]), CostRow("takes", text)]


def checkpoint_costs(run: RunView | None) -> list[CostRow]:
    """Of a checkpoint beside training."""
    newest = run.checkpoint if run is not None else None
    rows = [_charged(run, [("that training waits for the copy", newest.stall_s if newest else None)])]
    return [*rows, CostRow("disk", format_bytes(newest.size_bytes))] if newest is not None else rows


def stop_costs(job: JobView, run: RunView | None) -> list[CostRow]:
    """Of the end of a job before its time."""
    if job.kind is not JobKind.PRETRAIN or job.started_t is None:
        return [_freed(job)] if job.devices else []
    rows = []
    if run is not None:
        validation, checkpoint, export = run.validation, run.checkpoint, run.export
        parts = [
            ("to validate", validation.seconds if validation is not None else None),
            ("to save", checkpoint.seconds if checkpoint is not None else None),
            ("to export", export.seconds if export is not None else None),
        ]
        rows.append(_charged(run, parts))
        if run.budget.remaining_s:
            rows.append(CostRow("gives up", f"{format_duration(run.budget.remaining_s)} of training"))
    return [*rows, _freed(job)]


def lend_costs(estimate: LendEstimateView, *, now: float) -> list[CostRow]:
    """Of a finetuning that a pretraining lends its devices to."""
    if estimate.run_job_id is None:
        return [CostRow("pauses", "no pretraining: devices are free")]
    if estimate.lend is not None:
        return [
            CostRow("pauses", f"nothing more: job {estimate.run_job_id} is paused for lend {estimate.lend} already")
        ]
    how = "hot, so it keeps its memory" if estimate.is_hot else "with a checkpoint"
    parts = [("to save", estimate.save_s), ("to start again", estimate.start_s)]
    cost = "nothing" if estimate.charged_s == 0 else _cost_text(parts)
    if estimate.charged_s and estimate.remaining_s:
        cost += f": {percent(estimate.charged_s / estimate.remaining_s, decimals=2)} of what it has left"
    back = "when that is over; how long it takes was not measured"
    if estimate.wall_s is not None:
        back = f"in about {format_duration(estimate.wall_s)}, at {clock_near(now + estimate.wall_s, now=now)}"
    return [
        CostRow("pauses", f"{estimate.run_id} {how}; it continues by itself {back}"),
        CostRow("charged", cost),
        CostRow("gets", format_count(estimate.num_devices, "device")),
    ]


def started_row(jobs: Sequence[JobView]) -> CostRow:
    """What waits that would start."""
    if not jobs:
        return CostRow("starts", "nothing: no job waits for these devices")
    names = [f"#{job.id} {job.name}" for job in jobs[:_MAX_NAMED_JOBS]]
    more = f" and {len(jobs) - _MAX_NAMED_JOBS} more" if len(jobs) > _MAX_NAMED_JOBS else ""
    return CostRow("starts", f"{', '.join(names)}{more}, {'which waits' if len(jobs) == 1 else 'which wait'}")


def find_run_of(job: JobView, snapshot: Snapshot) -> RunView | None:
    """The run that a job trains, if it is known."""
    runs = [*(snapshot.status.runs if snapshot.status else []), *([snapshot.kept_run] if snapshot.kept_run else [])]
    return next((run for run in runs if run.job_id == job.id), None)


def _start_s(run: RunView | None) -> float | None:
    return run.startup.total_s if run is not None and run.startup is not None else None


def _charged(run: RunView | None, parts: list[tuple[str, float | None]]) -> CostRow:
    text = _cost_text(parts)
    total_s = sum(seconds for _, seconds in parts if seconds is not None)
    if run is not None and all(seconds is not None for _, seconds in parts):
        remaining_s = run.budget.remaining_s
        if remaining_s:
            text += f": {percent(total_s / remaining_s, decimals=2)} of what is left"
        if steps := _steps_in(run, total_s):
            text += f", {format_count(steps, 'step')}"
    return CostRow("charged", text)


def _cost_text(parts: list[tuple[str, float | None]]) -> str:
    if all(seconds is None for _, seconds in parts):
        return f"unknown: this run has not measured yet how long it takes {' and '.join(what for what, _ in parts)}"
    texts = [f"{'an unknown time' if seconds is None else _seconds(seconds)} {what}" for what, seconds in parts]
    return f"about {', '.join(texts[:-1])}{' and ' if len(texts) > 1 else ''}{texts[-1]}, as measured"


def _seconds(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < _MAX_SECONDS else format_duration(seconds)


def _steps_in(run: RunView, seconds: float) -> int:
    """Steps that it makes in that time at its present speed."""
    budget, step = run.budget, run.step
    if step is None or not budget.remaining_s or budget.projected_step is None:
        return 0
    return round((budget.projected_step - step.step) / budget.remaining_s * seconds)


def _freed(job: JobView) -> CostRow:
    return CostRow("frees", format_count(job.num_devices, "device") if job.devices else "no device: it has none")


def _count_free_gpus(status: StatusView | None) -> int | None:
    """None on a machine without GPUs, where cores are shared."""
    if status is None or not any(device.kind == "gpu" for device in status.devices):
        return None
    return sum(
        device.kind == "gpu" and device.job_id is None and device.drained_by is None and device.health == "ok"
        for device in status.devices
    )
