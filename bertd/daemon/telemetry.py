"""What the journals tell, folded as they grow: the newest of each kind, the speed, the curves. Bounded.

A journal is followed while a runner has its job. When the job leaves the runner its summary goes into the database,
so that a list of a hundred old runs reads no journal; curves of such a run are read again, in pieces, when asked for.
"""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

from bertd.daemon.series import Curves
from bertd.errors import RunFolderError
from bertd.jobs.database import Database
from bertd.jobs.queue import Job
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
from bertd.run.budget import DeviceTime
from bertd.run.journal import JournalReader
from bertd.run.paths import JobPaths, RunPaths
from bertd.run.recipe import Recipe
from bertd.run.recipe_file import read_recipe

_CHUNK_BYTES = 1 << 20
_MAX_SCORES = 100
_MAX_CURVES = 8
"""Runs without a runner whose curves are kept; one takes a few megabytes."""
_MAX_SUMMARIES = 1_000
_MAX_RECIPES = 64
_SPEED_HALF_LIFE_S = 30.0


class Summary(Record):
    """The newest of each kind."""

    start: StartRecord | None = None
    step: StepRecord | None = None
    validation: ValidationRecord | None = None
    best_validation: float | None = None
    checkpoint: CheckpointRecord | None = None
    export: ExportRecord | None = None
    alert: AlertRecord | None = None
    end: EndRecord | None = None
    budget: BudgetRecord | None = None
    """Its newest change."""
    devices: DevicesRecord | None = None
    """The newest change of their number."""
    earlier: DeviceTime = DeviceTime()
    restarts: int = 0
    steps_lost: int = 0
    sequences_per_s: float | None = None
    """Smoothed over about a minute."""
    scores: list[ScoreRecord] = []

    @property
    def last_step(self) -> int:
        """Steps done, as far as the journal tells."""
        latest = self.end or self.step or self.start
        return latest.step if latest is not None else 0

    @property
    def charged_s(self) -> float:
        """Charged seconds, as far as the journal tells."""
        latest = self.end or self.step or self.start
        saved_s = 0.0 if self.checkpoint is None else self.checkpoint.charged_s
        return max(saved_s, 0.0 if latest is None else latest.charged_s)

    @property
    def last_sequences(self) -> int:
        """The same in sequences."""
        latest = self.end or self.step or self.start
        return latest.sequences if latest is not None else 0


def fold(summary: Summary, record: JournalRecord) -> Summary:
    """The summary with one more record. Pure."""
    match record:
        case StartRecord():
            lost = max(0, summary.last_step - record.step)
            change: dict[str, object] = {
                "start": record,
                "step": summary.step if lost == 0 else None,
                "end": None,
                "steps_lost": summary.steps_lost + lost,
            }
        case StepRecord():
            change = {"step": record, "sequences_per_s": _smoothed(summary, record)}
        case ValidationRecord():
            known = [loss for loss in (summary.best_validation, record.loss) if loss is not None and loss == loss]
            change = {"validation": record, "best_validation": min(known, default=None)}
        case CheckpointRecord() | EndRecord():
            change = {record.kind: record, "step": _advanced(summary.step, record)}
        case ExportRecord() | AlertRecord() | BudgetRecord():
            change = {record.kind: record}
        case DevicesRecord():
            change = {"devices": record, "earlier": summary.earlier.until(record)}
        case RestartRecord():
            change = {"restarts": summary.restarts + 1}
        case RollbackRecord():
            place = {"step": record.step, "sequences": record.sequences}
            change = {
                "steps_lost": summary.steps_lost + record.from_step - record.step,
                "step": None if summary.step is None else summary.step.model_copy(update=place),
            }
        case ScoreRecord():
            change = {"scores": [*summary.scores, record][-_MAX_SCORES:]}
        case _:
            return summary
    return summary.model_copy(update=change)


def _advanced(step: StepRecord | None, record: CheckpointRecord | EndRecord) -> StepRecord | None:
    """Steps are told once a second; one that was saved or ended with was done, told or not."""
    if step is None or record.sequences is None or record.step <= step.step:
        return step
    return step.model_copy(update={"step": record.step, "sequences": record.sequences})


def _smoothed(summary: Summary, record: StepRecord) -> float:
    before = summary.sequences_per_s
    if before is None or summary.step is None:
        return record.sequences_per_s
    elapsed_s = max(0.0, record.charged_s - summary.step.charged_s)
    keep = math.exp2(-elapsed_s / _SPEED_HALF_LIFE_S)
    return keep * before + (1 - keep) * record.sequences_per_s


@dataclass(frozen=True)
class Numbered:
    """A record with its place in the journal."""

    number: int
    """From 1."""
    record: JournalRecord


class Follower:
    """Folds one job's journal as it grows."""

    def __init__(self, folder: Path, *, recipe: Recipe | None) -> None:
        self._reader = JournalReader(JobPaths(folder).journal)
        self._count = 0
        self.summary = Summary()
        self.curves = Curves(recipe.granted) if recipe is not None else None

    def follow(self) -> list[Numbered]:
        """Take in a piece of what is new, and give it to the caller as well; nothing where nothing is left."""
        numbered = []
        for record in self._reader.read(limit_bytes=_CHUNK_BYTES):
            self._count += 1
            self.summary = fold(self.summary, record)
            if self.curves is not None and isinstance(
                record, StepRecord | ValidationRecord | StartRecord | BudgetRecord | DevicesRecord | RollbackRecord
            ):
                self.curves.add(record)
            numbered.append(Numbered(number=self._count, record=record))
        return numbered


class Telemetry:
    """The followers of all jobs: those that a runner has, and a few of the others."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._live: dict[int, Follower] = {}
        self._kept: OrderedDict[int, Follower] = OrderedDict()
        self._summaries: OrderedDict[int, Summary] = OrderedDict()
        self._recipes: OrderedDict[str, Recipe] = OrderedDict()

    def recipe(self, run_folder: Path) -> Recipe:
        """The recipe of a run.

        Raises:
            RecipeError: it is gone or was changed by hand.
        """
        key = str(run_folder)
        if key not in self._recipes:
            self._recipes[key] = read_recipe(RunPaths(run_folder).recipe)
            while len(self._recipes) > _MAX_RECIPES:
                self._recipes.popitem(last=False)
        return self._recipes[key]

    def forget_recipe(self, run_folder: Path) -> None:
        """Read it again when it is asked for: the daemon changed it."""
        self._recipes.pop(str(run_folder), None)

    def begin(self, job: Job) -> Follower:
        """Follow a job that a runner has."""
        if job.id not in self._live:
            self._live[job.id] = self._kept.pop(job.id) if job.id in self._kept else self._new(job)
        return self._live[job.id]

    def settle(self, job: Job) -> None:
        """Keep what is known of a job that has no runner any more."""
        follower = self._live.pop(job.id, None)
        if follower is not None:
            self._keep(job, follower)

    def summary(self, job: Job) -> Summary:
        """The newest of each kind, without reading a journal."""
        follower = self._live.get(job.id) or self._kept.get(job.id)
        if follower is not None:
            return follower.summary
        if job.id not in self._summaries:
            row = self._database.execute("SELECT summary FROM summaries WHERE job_id = ?", (job.id,)).fetchone()
            self._remember(job, Summary() if row is None else Summary.model_validate_json(row["summary"]))
        return self._summaries[job.id]

    async def curves(self, job: Job) -> Curves:
        """The curves of a run; others are served while a long journal is read.

        Raises:
            RecipeError: the run's recipe is gone or was changed by hand.
            RunFolderError: the journal cannot be read.
        """
        follower = self._live.get(job.id) or self._kept.get(job.id)
        if follower is None:
            follower = self._new(job)
            while follower.follow():
                await asyncio.sleep(0)
            if job.id not in self._live:
                self._keep(job, follower)
        if follower.curves is None:
            raise RunFolderError(f"{job.folder}: a {job.kind} has no curves; ask for a run")
        return follower.curves

    def _new(self, job: Job) -> Follower:
        folder = Path(job.folder)
        recipe = self.recipe(folder) if job.kind is JobKind.PRETRAIN else None
        return Follower(folder, recipe=recipe)

    def _remember(self, job: Job, summary: Summary) -> None:
        self._summaries[job.id] = summary
        while len(self._summaries) > _MAX_SUMMARIES:
            self._summaries.popitem(last=False)

    def _keep(self, job: Job, follower: Follower) -> None:
        with self._database.transaction():
            self._database.execute(
                "INSERT INTO summaries (job_id, summary) VALUES (?, ?)"
                " ON CONFLICT (job_id) DO UPDATE SET summary = excluded.summary",
                (job.id, follower.summary.model_dump_json()),
            )
        self._remember(job, follower.summary)
        self._kept[job.id] = follower
        while len(self._kept) > _MAX_CURVES:
            self._kept.popitem(last=False)
