"""The summary of a journal: progress, the newest record of each kind, and the speed. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pydantic import model_validator

from bertd.records import (
    AlertRecord,
    BudgetRecord,
    CheckpointRecord,
    DevicesRecord,
    EndRecord,
    ExportRecord,
    ForecastRecord,
    GridRecord,
    JournalRecord,
    Record,
    RestartRecord,
    RollbackRecord,
    ScoreRecord,
    StartRecord,
    StartupRecord,
    StepRecord,
    ValidationRecord,
)
from bertd.run.progress import RunProgress

_MAX_SCORES = 100
_SPEED_HALF_LIFE_S = 30.0


class JournalSummary(Record):
    """A job's progress, and the newest record of each kind."""

    progress: RunProgress = RunProgress()
    start: StartRecord | None = None
    startup: StartupRecord | None = None
    step: StepRecord | None = None
    """With the position of `progress`, if that is further."""
    validation: ValidationRecord | None = None
    best_validation: float | None = None
    forecast: ForecastRecord | None = None
    checkpoint: CheckpointRecord | None = None
    export: ExportRecord | None = None
    alert: AlertRecord | None = None
    end: EndRecord | None = None
    budget: BudgetRecord | None = None
    """The newest change of the budget."""
    devices: DevicesRecord | None = None
    """The newest change of the number of devices."""
    restarts: int = 0
    steps_lost: int = 0
    sequences_per_s: float | None = None
    """Smoothed over about a minute."""
    scores: list[ScoreRecord] = []
    """The newest; a grid has more in its journal."""
    grid: GridRecord | None = None

    @model_validator(mode="before")
    @classmethod
    def _derive_progress(cls, row: object) -> object:
        """Build the progress of a row that was stored by a version without that field."""
        if not isinstance(row, dict) or "earlier" not in row:
            return row
        latest = row.get("end") or row.get("step") or row.get("start") or {}
        change = row.get("budget")
        charged_s = [record["charged_s"] for record in (latest, row.get("checkpoint")) if record]
        progress = {
            "step": latest.get("step", 0),
            "sequences": latest.get("sequences", 0),
            "charged_s": max(charged_s, default=None),
            "budget_changes": [{"spent": change["spent"], "amount": change["after"]}] if change else [],
            "past_device_seconds": row["earlier"],
        }
        return {**row, "progress": progress}


def fold(summary: JournalSummary, record: JournalRecord) -> JournalSummary:
    """The summary with one more record. Pure."""
    progress = summary.progress.with_record(record)
    step = record if isinstance(record, StepRecord) else _align_step(summary.step, progress)
    change: dict[str, object] = {"progress": progress, "step": step}
    match record:
        case StartRecord():
            lost = max(0, summary.progress.step - record.step)
            if lost:
                change |= {"step": None, "forecast": None}
            change |= {"start": record, "end": None, "steps_lost": summary.steps_lost + lost}
        case StartupRecord():
            change["startup"] = record
        case StepRecord():
            change["sequences_per_s"] = _smooth_speed(summary.sequences_per_s, summary.step, record)
        case ValidationRecord():
            # A loss on a part of the set cannot be compared with the others.
            new_loss = record.loss if record.share == 1.0 else None
            losses = [loss for loss in (summary.best_validation, new_loss) if loss is not None and loss == loss]
            change |= {"validation": record, "best_validation": min(losses, default=None)}
        case CheckpointRecord() | EndRecord() | ExportRecord() | AlertRecord() | BudgetRecord() | DevicesRecord():
            change[record.kind] = record
        case ForecastRecord():
            change["forecast"] = record
        case GridRecord():
            change["grid"] = record
        case RestartRecord():
            change["restarts"] = summary.restarts + 1
        case RollbackRecord():
            change["steps_lost"] = summary.steps_lost + record.from_step - record.step
        case ScoreRecord():
            change["scores"] = [*summary.scores, record][-_MAX_SCORES:]
    return summary.model_copy(update=change)


def fold_steps(summary: JournalSummary, records: Sequence[StepRecord]) -> JournalSummary:
    """The summary with consecutive records of steps, at least one: as `fold` for each of them. Pure."""
    speed, before = summary.sequences_per_s, summary.step
    for record in records:
        speed = _smooth_speed(speed, before, record)
        before = record
    progress = summary.progress.with_steps(records)
    return summary.model_copy(update={"progress": progress, "step": records[-1], "sequences_per_s": speed})


def _align_step(step: StepRecord | None, progress: RunProgress) -> StepRecord | None:
    if step is None or (step.step, step.sequences) == (progress.step, progress.sequences):
        return step
    return step.model_copy(update={"step": progress.step, "sequences": progress.sequences})


def _smooth_speed(old_speed: float | None, before: StepRecord | None, record: StepRecord) -> float:
    if old_speed is None or before is None:
        return record.sequences_per_s
    elapsed_s = max(0.0, record.charged_s - before.charged_s)
    decay = math.exp2(-elapsed_s / _SPEED_HALF_LIFE_S)
    return decay * old_speed + (1 - decay) * record.sequences_per_s
