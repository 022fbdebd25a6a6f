"""The responses of a daemon on the simulated machine."""

from __future__ import annotations

import math

from bertd.api.models import (
    BudgetView,
    GridEstimateView,
    LendEstimateView,
    LogView,
    RunView,
    StatusView,
    SubmitGrid,
    VersionView,
)
from bertd.records import (
    BudgetUnit,
    CheckpointRecord,
    EndRecord,
    ExportRecord,
    StartRecord,
    StartupRecord,
    StepRecord,
    ValidationRecord,
)
from bertd.run.grid.finetune_grid import make_trials
from bertd.run.paths import step_folder_name
from tui.simulated import charts, curves, device_views
from tui.simulated.box import BATCH, BUDGET_S, JOB_ID, RESERVE_S, RUN_ID, START_PROGRESS, STEPS_PER_S, SimulatedBox

_GIB = 1 << 30
_LOG_LINES = 400
"""Minutes of log before the simulation began."""


def status(box: SimulatedBox) -> StatusView:
    """The status that the first screen shows."""
    return StatusView(
        version=VersionView(bertd="simulated", api=1, pid=0, state_dir="/var/lib/bertd", started_t=box.epoch - 40_000),
        runs=[run(box)],
        jobs=[box.pretraining(), *box.jobs],
        devices=[device_views.device(box, index) for index in range(device_views.NUM_DEVICES)],
        events=box.events[-20:],
    )


def run(box: SimulatedBox) -> RunView:
    """The one pretraining."""
    progress, at = box.progress, _last_validation(box.progress)
    best = min(curves.validation_loss(step * curves.VALIDATE_EVERY) for step in range(1, at + 1))
    return RunView(
        id=RUN_ID,
        job_id=JOB_ID,
        name="academic-large",
        state=box.state,
        pause=box.pause,
        reason=box.reason,
        folder="/var/lib/bertd/runs/" + RUN_ID,
        budget=BudgetView(
            unit=BudgetUnit.HOURS,
            amount=box.budget_s / 3600,
            spent=box.charged_s / 3600,
            progress=progress,
            charged_s=box.charged_s,
            remaining_s=max(0.0, box.budget_s - RESERVE_S - box.charged_s),
            reserve_s=None if box.is_over else min(RESERVE_S, box.budget_s - box.charged_s),
            projected_step=int(box.budget_s * STEPS_PER_S),
        ),
        model="24 layers x 1024, 336M parameters",
        start=_start(box),
        startup=_startup(box),
        step=_step(box),
        validation=ValidationRecord(
            t=box.now - 60,
            step=int(at * curves.VALIDATE_EVERY * BUDGET_S * STEPS_PER_S),
            sequences=0,
            charged_s=at * curves.VALIDATE_EVERY * BUDGET_S,
            progress=at * curves.VALIDATE_EVERY,
            loss=curves.validation_loss(at * curves.VALIDATE_EVERY),
            num_tokens=312_000,
            unigram_loss=6.71,
            unigram_entropy=6.71,
            seconds=11.2,
        ),
        best_validation=best,
        checkpoint=_checkpoint(box),
        export=_export(box),
        forecast=charts.forecast(box),
        end=_end(box) if box.is_over else None,
        restarts=1,
        steps_lost=12,
    )


def lend_estimate(box: SimulatedBox) -> LendEstimateView:
    """What the pretraining would lend, and what that costs."""
    lends = box.has_devices
    save_s, start_s = (_checkpoint(box).seconds, _startup(box).total_s) if lends else (0.0, 0.0)
    return LendEstimateView(
        run_job_id=JOB_ID if lends else None,
        run_id=RUN_ID if lends else None,
        lend=None,
        is_hot=False,
        num_devices=1,
        save_s=save_s,
        start_s=start_s,
        charged_s=save_s + start_s,
        remaining_s=max(0.0, box.budget_s - RESERVE_S - box.charged_s),
        wall_s=900.0,
    )


def grid_estimate(grid: SubmitGrid) -> GridEstimateView:
    """How many trials a grid has, and how long they take."""
    trials = {task: len(make_trials([task], preset=grid.preset, num_seeds=grid.num_seeds)) for task in grid.tasks}
    num_trials = sum(trials.values())
    wall_s = math.ceil(num_trials / 8) * 900.0
    return GridEstimateView(
        num_trials=num_trials,
        num_trials_by_task=trials,
        device_kind="gpu",
        num_devices=8,
        num_workers=8,
        wall_s=wall_s,
        device_hours=wall_s * 8 / 3600,
        unmeasured=[],
    )


def log(box: SimulatedBox, job_id: int, *, offset: int, limit: int) -> LogView:
    """A log with one line of 64 bytes for each minute."""
    minutes = range(int((box.now - box.epoch) / 60) + _LOG_LINES)
    size = 64 * len(minutes)
    begin = max(0, size + offset) if offset < 0 else min(offset, size)
    wanted = minutes[begin // 64 : -(-(begin + limit) // 64)]
    text = "".join(_log_line(minute - _LOG_LINES, job_id) for minute in wanted)
    text = text[begin % 64 : begin % 64 + limit]
    return LogView(text=text, offset=begin, next_offset=begin + len(text), size=size)


def log_since(box: SimulatedBox, job_id: int, *, t: float, limit: int) -> LogView:
    """The log from the minute of this time on."""
    minute = max(0, int((t - box.epoch) // 60) + _LOG_LINES)
    return log(box, job_id, offset=64 * minute, limit=limit)


def _log_line(minute: int, job_id: int) -> str:
    progress = START_PROGRESS + 60 * minute / BUDGET_S
    step = int(progress * BUDGET_S * STEPS_PER_S)
    return f"rank 0: job {job_id}: step {step}: loss {curves.train_loss(progress):.3f}".ljust(63) + "\n"


def _last_validation(progress: float) -> int:
    return int(progress / curves.VALIDATE_EVERY + 1e-6)


def _start(box: SimulatedBox) -> StartRecord:
    return StartRecord(
        t=box.epoch - 21_300,
        attempt=2,
        step=4160,
        sequences=4160 * BATCH,
        charged_s=15_620,
        world_size=8,
        device="cuda",
        device_name="NVIDIA TITAN V",
        precision="fp16",
        kernels="compile",
        kernels_reason="measured here in sequences/s of one rank, 32 a pass: compile 138.4, eager 101.9; not "
        "FusedLayerNorm, FusedDense, FusedAdam: apex is not installed",
        num_parameters=336_000_000,
        micro_batch=32,
        micro_batch_reason="the fastest, in sequences/s of one rank: 8: 117.0, 16: 131.2, 32: 138.4; too large: 64",
        accumulation=16,
        attention="memory-efficient, math",
        attention_reason="timed here, forward and backward: memory-efficient 0.81 ms, math 2.38 ms",
        sequence_length=curves.SEQUENCE_LENGTH,
        train_sequences=95_000_000,
        validation_sequences=16_384,
    )


def _startup(box: SimulatedBox) -> StartupRecord:
    return StartupRecord(
        t=box.epoch - 21_260,
        attempt=2,
        step=4161,
        charged_s=15_658,
        choose_s=11.4,
        build_s=6.1,
        compile_s=14.8,
        first_step_s=3.7,
        total_s=38.2,
    )


def _step(box: SimulatedBox) -> StepRecord:
    speed = curves.sequences_per_s(box.progress) if not box.is_over else 0.0
    return StepRecord(
        t=box.now,
        step=box.step,
        sequences=box.step * BATCH,
        charged_s=box.charged_s,
        progress=box.progress,
        loss=curves.train_loss(box.progress),
        lr=curves.learning_rate(box.progress),
        grad_norm=curves.gradient_norm(box.progress),
        sequences_per_s=speed,
        tokens_per_s=speed * curves.SEQUENCE_LENGTH,
        mfu=speed / curves.SEQUENCES_PER_S * 0.384,
        data_wait=0.002,
        loss_scale=65_536.0,
        skipped_steps=7,
        memory_bytes=int(10.4 * _GIB),
    )


def _checkpoint(box: SimulatedBox) -> CheckpointRecord:
    step = int(box.saved_s * STEPS_PER_S)
    return CheckpointRecord(
        t=box.saved_t,
        step=step,
        charged_s=box.saved_s,
        name=step_folder_name(step),
        size_bytes=int(3.8 * _GIB),
        seconds=2.1,
        stall_s=0.2,
        why="interval",
    )


def _export(box: SimulatedBox) -> ExportRecord:
    step = box.step if box.is_over else 4800
    return ExportRecord(
        t=box.changed_t if box.is_over else box.epoch - 18_000,
        step=step,
        charged_s=step / STEPS_PER_S,
        name=step_folder_name(step),
        architecture="MegatronBertForMaskedLM",
        seconds=3.4,
    )


def _end(box: SimulatedBox) -> EndRecord:
    return EndRecord(
        t=box.changed_t,
        step=box.step,
        sequences=box.step * BATCH,
        charged_s=box.charged_s,
        reason="budget" if box.charged_s >= box.budget_s else "stopped",
        detail=box.reason,
        lr=curves.learning_rate(box.progress),
        validation_loss=curves.validation_loss(box.progress),
        export=step_folder_name(box.step),
    )
