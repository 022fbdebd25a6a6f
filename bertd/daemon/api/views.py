"""Build the API's views of jobs, runs and devices from rows and summaries, without reading a journal."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from bertd.api.models import (
    DeviceView,
    EventView,
    JobView,
    LendView,
    MachineView,
    MarkerGridView,
    RunView,
    ScoreView,
    StartAccuracyView,
    StatusView,
    VersionView,
)
from bertd.daemon.api.command_views import program_progress, with_program
from bertd.daemon.api.ended_views import EndedViews
from bertd.daemon.api.start_condition_views import StartConditionViews
from bertd.daemon.disk_quotas.disk_quotas import DiskQuotas
from bertd.daemon.grids.grid_scores import read_grid_scores
from bertd.daemon.lending.lends import Lends
from bertd.daemon.metrics.budget_position import ChargedTime
from bertd.daemon.metrics.run_metrics import RunMetrics
from bertd.daemon.process.journal_log import log_fields
from bertd.daemon.scheduling.devices.inventory import Devices
from bertd.daemon.scheduling.expectations.outlook import Outlook
from bertd.errors import BertdError, RunFolderError
from bertd.jobs.store.event_log import EventLog
from bertd.jobs.store.leases import Leases
from bertd.jobs.store.lifecycle import ENDED, FINAL
from bertd.jobs.store.queue import Job, Queue
from bertd.jobs.store.row_filters import ANY_JOB, EventFilter, JobFilter
from bertd.jobs.store.tables.marker_grid_table import MarkerGridTable
from bertd.metrics.budget_view import build_budget_view, current_budget
from bertd.metrics.journal_summary import JournalSummary
from bertd.metrics.run_view import build_run_view
from bertd.records import PROGRAM_KINDS, JobEnergy, JobKind, JobState, PauseKind
from bertd.run.checkpoint_index import read_checkpoint_index
from bertd.run.paths import JobPaths, RunPaths

logger = logging.getLogger(__name__)

MAX_STATUS_JOBS = 50
MAX_LISTED_JOBS = 1_000
NEWEST = 2**63 - 1
"""Above every job's number."""
_NUM_STATUS_EVENTS = 20
_RUNS = JobFilter(kinds=(JobKind.PRETRAIN,))
_SCORED = JobFilter(kinds=(JobKind.FINETUNE, JobKind.GRID))


class Views:
    """Builds every view."""

    def __init__(
        self,
        *,
        version: VersionView,
        queue: Queue,
        events: EventLog,
        run_metrics: RunMetrics,
        devices: Devices,
        marker_grids: MarkerGridTable,
        start_conditions: StartConditionViews,
        outlook: Outlook,
        lends: Lends,
        drained: Callable[[], Mapping[str, str]] = dict,
        energy: Callable[[int], JobEnergy | None] = lambda job_id: None,
        software_changes: Callable[[Job], list[str]] = lambda job: [],
        disk_quotas: DiskQuotas | None = None,
        would_start: Callable[[int], list[Job]] = lambda job_id: [],
    ) -> None:
        self.version = version
        self._queue = queue
        self._events = events
        self._run_metrics = run_metrics
        self._devices = devices
        self._marker_grids = marker_grids
        self._start_conditions = start_conditions
        self._outlook = outlook
        self._lends = lends
        self._drained = drained
        self._energy = energy
        self._software_changes = software_changes
        self._disk_quotas = disk_quotas
        self._would_start = would_start
        self._charged_time = ChargedTime(run_metrics)
        self._ended_runs = EndedViews[RunView]()
        self._ended_progress = EndedViews[float | None]()
        self._logged_errors: dict[int, str] = {}
        """By job: why its run is not shown, to log it once and not at each request."""

    def job(self, job: Job) -> JobView:
        """One job."""
        view = self._start_conditions.with_conditions(self._job(job, leases=self._queue.leases()), job)
        of_one: dict[str, object] = {"position": self._queue.position(job), "energy": self._energy(job.id)}
        if not job.has_runner and job.state not in FINAL:
            of_one["software_changes"] = self._software_changes(job)
        view = view.model_copy(update=of_one)
        return with_program(view, job) if job.kind in PROGRAM_KINDS else view

    def would_start(self, job: Job) -> list[JobView]:
        """The jobs that would start at once if this job gave its devices back."""
        leases = self._queue.leases()
        return [self._job(each, leases=leases) for each in self._would_start(job.id)]

    def jobs(
        self, *, before: int | None = None, limit: int = MAX_LISTED_JOBS, where: JobFilter = ANY_JOB
    ) -> Iterator[JobView]:
        """The most relevant ones, newest first, with those that are over last; or a page of all, newest first.

        Args:
            before: only jobs with a lower number; one call for each page then gives every job.
            where: only these jobs, by page.
        """
        leases = self._queue.leases()
        if before is None and not where.excludes_any:
            jobs = self._queue.most_relevant(limit=limit)
        else:
            jobs = self._queue.page(before=NEWEST if before is None else before, limit=limit, where=where)
        return (self._job(job, leases=leases) for job in jobs)

    def run_with_checkpoints(self, job: Job) -> RunView:
        """One run, with its kept checkpoints and the reasons for them, and the grids that it asks for.

        Raises:
            RecipeError: its recipe is missing or was changed by hand.
        """
        view = self.run(job).model_copy(update={"grids": self._grids(job)})
        try:
            return view.model_copy(update={"kept": read_checkpoint_index(RunPaths(Path(job.folder))).checkpoints})
        except RunFolderError as error:
            # The next checkpoint rewrites the index; until then the rest of the run is worth showing.
            logger.warning(
                "job %d is shown without its kept checkpoints: %s", job.id, error, extra=log_fields(job.id, job.run_id)
            )
            return view

    def _grids(self, job: Job) -> list[MarkerGridView]:
        return [
            MarkerGridView(marker=row.marker, state=row.state, reason=row.reason, grid_job_id=row.grid_job_id)
            for row in self._marker_grids.of_run(job.id)
        ]

    def run(self, job: Job) -> RunView:
        """One run.

        Raises:
            RecipeError: its recipe is missing or was changed by hand.
        """
        summary = self._run_metrics.summary(job)
        view = self._ended_runs.get(job, summary, build=lambda: self._build_run(job, summary))
        # Not kept with a run that has ended: the price may change, and what it takes on the disk.
        disk = None if self._disk_quotas is None else self._disk_quotas.view_of_run(job.run_id)
        return view.model_copy(update={"energy": self._energy(job.id), "disk": disk})

    def _build_run(self, job: Job, summary: JournalSummary) -> RunView:
        recipe = self._run_metrics.recipe(Path(job.folder))
        charged_s = self._charged_time.charged_s(job)
        return build_run_view(
            recipe,
            summary,
            id=job.run_id,
            job_id=job.id,
            name=job.name,
            state=job.state,
            pause=_pause_kind(job),
            reason=job.reason,
            folder=job.folder,
            budget=build_budget_view(recipe, summary, charged_s=charged_s, is_over=job.state in FINAL),
        )

    def runs(self, *, before: int = NEWEST, limit: int = MAX_LISTED_JOBS) -> Iterator[RunView]:
        """A page of the runs whose recipe can be read, newest first; of those whose job has a number below `before`."""
        missing = limit
        while missing and (jobs := self._queue.page(before=before, limit=missing, where=_RUNS)):
            for view in self._build_readable_runs(jobs):
                missing -= 1
                yield view
            before = jobs[-1].id

    def events(self, *, before: int, limit: int, where: EventFilter) -> list[EventView]:
        """A page of the event log, newest first."""
        return self._events.page(before=before, limit=limit, where=where)

    def devices(self) -> list[DeviceView]:
        """All devices, each with the job that holds it."""
        return self._devices.views(self._queue.leases(), self._drained())

    def machine(self) -> MachineView:
        """The rest of the machine."""
        return self._devices.machine

    def device(self, id: str) -> DeviceView:
        """One device; the CPU also where it is not listed."""
        return self._devices.view(id, self._queue.leases(), self._drained())

    def scores(
        self, *, run_id: str | None, before: int = NEWEST, min_rows: int = MAX_LISTED_JOBS
    ) -> Iterator[ScoreView]:
        """A page of the scores of all finetunings, or of those of a run; newest first.

        Args:
            before: only of jobs with a lower number.
            min_rows: the page ends with the job whose scores fill it; a smaller page is the last one.
        """
        num_rows = 0
        while jobs := self._queue.page(before=before, limit=100, where=_SCORED):
            for job in jobs:
                before = job.id
                if run_id in (None, job.run_id):
                    for score in self._scores(job):
                        num_rows += 1
                        yield score
                if num_rows >= min_rows:
                    return

    def _scores(self, job: Job) -> Iterable[ScoreView]:
        summary = self._run_metrics.summary(job)
        if job.kind is JobKind.GRID:
            # The summary keeps the newest only.
            has_dropped = summary.grid is not None and summary.grid.num_dropped > 0
            return read_grid_scores(job, JobPaths(Path(job.folder)), has_dropped=has_dropped)
        return [ScoreView(job_id=job.id, run_id=job.run_id, score=score) for score in summary.scores]

    def status(self) -> StatusView:
        """What `bertd status` and each tick show."""
        runs = self._queue.most_relevant(limit=MAX_STATUS_JOBS, kind=JobKind.PRETRAIN)
        shown = [job for job in runs if job.state not in ENDED]
        ended = self._queue.newest_ended(kind=JobKind.PRETRAIN)
        num_runs_by_state = self._queue.counts(kind=JobKind.PRETRAIN)
        return StatusView(
            version=self.version,
            runs=list(self._build_readable_runs(shown + ([] if ended is None else [ended]))),
            num_runs=sum(number for state, number in num_runs_by_state.items() if state not in ENDED),
            jobs=list(self.jobs(limit=MAX_STATUS_JOBS)),
            num_jobs_by_state=self._queue.counts(),
            devices=self.devices(),
            start_accuracy=StartAccuracyView(
                num_checked=self._outlook.accuracy.num_checked, num_wrong=self._outlook.accuracy.num_wrong
            ),
            machine=self._devices.machine,
            disk_quota=None if self._disk_quotas is None else self._disk_quotas.view(),
            events=self._events.newest(_NUM_STATUS_EVENTS),
        )

    def _build_readable_runs(self, jobs: list[Job]) -> Iterator[RunView]:
        for job in jobs:
            try:
                yield self.run(job)
            except BertdError as error:
                # Its job is still listed; a request for this run alone returns the error.
                if self._logged_errors.get(job.id) != str(error):
                    logger.warning(
                        "job %d is left out of the runs: %s", job.id, error, extra=log_fields(job.id, job.run_id)
                    )
                self._logged_errors[job.id] = str(error)

    def _job(self, job: Job, *, leases: Leases) -> JobView:
        expected, lend = self._outlook.times_of(job), self._lend(job)
        starts_t = expected.start_t
        if lend is not None and lend.run_job_id == job.id and not job.has_runner:
            starts_t = lend.expected_return_t
        return JobView(
            id=job.id,
            kind=job.kind,
            name=job.name,
            state=job.state,
            pause=_pause_kind(job),
            reason=job.reason,
            priority=job.priority,
            group=job.group_name or None,
            run_id=job.run_id,
            folder=job.folder,
            num_devices=job.num_devices,
            devices=leases.devices_of(job.id),
            memory_bytes=job.memory_bytes,
            owner_uid=job.owner_uid,
            created_t=job.created_t,
            started_t=job.started_t,
            ended_t=job.ended_t,
            progress=self._progress(job),
            expected_start_t=starts_t,
            expected_end_t=expected.end_t,
            lend=lend,
            # Their defaults, of which pydantic would make deep copies.
            argv=[],
            after=[],
            software_changes=[],
        )

    def _lend(self, job: Job) -> LendView | None:
        lend = self._lends.find(job.id)
        if lend is None:
            return None
        return LendView(
            id=lend.id,
            state=lend.state,
            run_job_id=lend.run_job_id,
            job_ids=[borrower.job_id for borrower in lend.borrowers],
            is_hot=lend.is_hot,
            asked_by=lend.asked_by,
            created_t=lend.created_t,
            expected_return_t=self._lends.return_t(lend),
        )

    def _progress(self, job: Job) -> float | None:
        if job.started_t is None and job.state in (JobState.QUEUED, JobState.HELD):
            # Nothing is read from its folder and of its summary: a queue may have thousands of them.
            return 0.0 if job.kind is JobKind.PRETRAIN else None
        summary = self._run_metrics.summary(job)
        return self._ended_progress.get(job, summary, build=lambda: self._build_progress(job, summary))

    def _build_progress(self, job: Job, summary: JournalSummary) -> float | None:
        if job.kind is JobKind.GRID:
            return None if summary.grid is None else summary.grid.step / summary.grid.num_trials
        if job.kind in PROGRAM_KINDS:
            return program_progress(job)
        if job.kind is JobKind.FINETUNE:
            if summary.end is not None and job.state is JobState.DONE:
                return 1.0
            return summary.step.progress if summary.step is not None else None
        try:
            granted = current_budget(self._run_metrics.recipe(Path(job.folder)), summary)
            charged_s = self._charged_time.charged_s(job)
        except BertdError:
            return None
        return granted.progress(charged_s=charged_s, steps=summary.progress.step, sequences=summary.progress.sequences)


def _pause_kind(job: Job) -> PauseKind | None:
    if job.state is not JobState.PAUSED:
        return None
    return PauseKind.HOT if job.is_hot else PauseKind.COLD
