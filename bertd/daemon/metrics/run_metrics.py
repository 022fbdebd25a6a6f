"""Summarize the journals as they grow: the newest record of each kind, the speed, the curves. Memory is bounded.

A journal is followed while its job has a runner. When the runner exits, the summary is stored in the database, so that
a list of a hundred old runs reads no journal; the curves of such a run are read again, in pieces, on request.
"""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

from pydantic import model_validator

from bertd.daemon.metrics.curves import RunCurves
from bertd.errors import RunFolderError
from bertd.jobs.store.database import Database
from bertd.jobs.store.queue import Job
from bertd.records import (
    AlertRecord,
    BudgetRecord,
    CheckpointRecord,
    DevicesRecord,
    EndRecord,
    ExportRecord,
    JobKind,
    JournalRecord,
    Record,
    RestartRecord,
    RollbackRecord,
    ScoreRecord,
    StartRecord,
    StepRecord,
    ValidationRecord,
)
from bertd.run.journal import JournalReader
from bertd.run.paths import JobPaths, RunPaths
from bertd.run.progress import RunProgress
from bertd.run.recipe.load import read_recipe
from bertd.run.recipe.schema import Recipe

_MAX_SCORES = 100
_MAX_CURVES = 8
"""Runs without a runner whose curves are kept in memory; each takes a few megabytes."""
_MAX_SUMMARIES = 1_000
_MAX_RECIPES = 64
_SPEED_HALF_LIFE_S = 30.0


class JournalSummary(Record):
    """A job's progress, and the newest record of each kind."""

    progress: RunProgress = RunProgress()
    start: StartRecord | None = None
    step: StepRecord | None = None
    """With the position of `progress`, if that is further."""
    validation: ValidationRecord | None = None
    best_validation: float | None = None
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
                change["step"] = None
            change |= {"start": record, "end": None, "steps_lost": summary.steps_lost + lost}
        case StepRecord():
            change["sequences_per_s"] = _smooth_speed(summary, record)
        case ValidationRecord():
            losses = [loss for loss in (summary.best_validation, record.loss) if loss is not None and loss == loss]
            change |= {"validation": record, "best_validation": min(losses, default=None)}
        case CheckpointRecord() | EndRecord() | ExportRecord() | AlertRecord() | BudgetRecord() | DevicesRecord():
            change[record.kind] = record
        case RestartRecord():
            change["restarts"] = summary.restarts + 1
        case RollbackRecord():
            change["steps_lost"] = summary.steps_lost + record.from_step - record.step
        case ScoreRecord():
            change["scores"] = [*summary.scores, record][-_MAX_SCORES:]
    return summary.model_copy(update=change)


def _align_step(step: StepRecord | None, progress: RunProgress) -> StepRecord | None:
    if step is None or (step.step, step.sequences) == (progress.step, progress.sequences):
        return step
    return step.model_copy(update={"step": progress.step, "sequences": progress.sequences})


def _smooth_speed(summary: JournalSummary, record: StepRecord) -> float:
    old_speed = summary.sequences_per_s
    if old_speed is None or summary.step is None:
        return record.sequences_per_s
    elapsed_s = max(0.0, record.charged_s - summary.step.charged_s)
    decay = math.exp2(-elapsed_s / _SPEED_HALF_LIFE_S)
    return decay * old_speed + (1 - decay) * record.sequences_per_s


@dataclass(frozen=True)
class NumberedRecord:
    """A record with its place in the journal."""

    number: int
    """From 1."""
    record: JournalRecord


class MetricsFollower:
    """Folds one job's journal as it grows."""

    def __init__(self, folder: Path, *, recipe: Recipe | None) -> None:
        self._reader = JournalReader(JobPaths(folder).journal)
        self._count = 0
        self.summary = JournalSummary()
        self.curves = RunCurves(recipe.granted) if recipe is not None else None

    def follow(self) -> list[NumberedRecord]:
        """Fold the next piece of the journal and return its records; an empty list at the end."""
        numbered_records = []
        for record in self._reader.read_piece():
            self._count += 1
            self.summary = fold(self.summary, record)
            if self.curves is not None and isinstance(
                record, StepRecord | ValidationRecord | StartRecord | BudgetRecord | DevicesRecord | RollbackRecord
            ):
                self.curves.add(record)
            numbered_records.append(NumberedRecord(number=self._count, record=record))
        return numbered_records


class RunMetrics:
    """The followers of all jobs that have a runner, and of a few others."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._live: dict[int, MetricsFollower] = {}
        self._recently_closed: OrderedDict[int, MetricsFollower] = OrderedDict()
        self._summaries: OrderedDict[int, JournalSummary] = OrderedDict()
        self._recipes: OrderedDict[str, Recipe] = OrderedDict()

    def recipe(self, run_folder: Path) -> Recipe:
        """The recipe of a run.

        Raises:
            RecipeError: it is missing or was changed by hand.
        """
        key = str(run_folder)
        if key not in self._recipes:
            self._recipes[key] = read_recipe(RunPaths(run_folder).recipe)
            while len(self._recipes) > _MAX_RECIPES:
                self._recipes.popitem(last=False)
        return self._recipes[key]

    def forget_recipe(self, run_folder: Path) -> None:
        """Read it again at the next request, because the daemon changed it."""
        self._recipes.pop(str(run_folder), None)

    def open_follower(self, job: Job) -> MetricsFollower:
        """Follow a job that has a runner."""
        if job.id not in self._live:
            self._live[job.id] = (
                self._recently_closed.pop(job.id) if job.id in self._recently_closed else self._make_follower(job)
            )
        return self._live[job.id]

    def close_follower(self, job: Job) -> None:
        """Store the summary of a job whose runner has exited."""
        follower = self._live.pop(job.id, None)
        if follower is not None:
            self._store_closed(job, follower)

    def summary(self, job: Job) -> JournalSummary:
        """The summary of a job, without reading its journal."""
        follower = self._live.get(job.id) or self._recently_closed.get(job.id)
        if follower is not None:
            return follower.summary
        if job.id not in self._summaries:
            row = self._database.execute("SELECT summary FROM summaries WHERE job_id = ?", (job.id,)).fetchone()
            self._cache_summary(
                job, JournalSummary() if row is None else JournalSummary.model_validate_json(row["summary"])
            )
        return self._summaries[job.id]

    async def curves(self, job: Job) -> RunCurves:
        """The curves of a run; other requests are served while a long journal is read.

        Raises:
            RecipeError: the run's recipe is missing or was changed by hand.
            RunFolderError: the journal cannot be read.
        """
        follower = self._live.get(job.id) or self._recently_closed.get(job.id)
        if follower is None:
            follower = self._make_follower(job)
            while follower.follow():
                await asyncio.sleep(0)
            if job.id not in self._live:
                self._store_closed(job, follower)
        if follower.curves is None:
            raise RunFolderError(f"{job.folder}: a {job.kind} has no curves; name a run")
        return follower.curves

    def _make_follower(self, job: Job) -> MetricsFollower:
        folder = Path(job.folder)
        recipe = self.recipe(folder) if job.kind is JobKind.PRETRAIN else None
        return MetricsFollower(folder, recipe=recipe)

    def _cache_summary(self, job: Job, summary: JournalSummary) -> None:
        self._summaries[job.id] = summary
        while len(self._summaries) > _MAX_SUMMARIES:
            self._summaries.popitem(last=False)

    def _store_closed(self, job: Job, follower: MetricsFollower) -> None:
        with self._database.transaction():
            self._database.execute(
                "INSERT INTO summaries (job_id, summary) VALUES (?, ?)"
                " ON CONFLICT (job_id) DO UPDATE SET summary = excluded.summary",
                (job.id, follower.summary.model_dump_json()),
            )
        self._cache_summary(job, follower.summary)
        self._recently_closed[job.id] = follower
        while len(self._recently_closed) > _MAX_CURVES:
            self._recently_closed.popitem(last=False)
