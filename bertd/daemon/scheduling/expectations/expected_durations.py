"""How long a job still takes, in wall time, by what was measured or granted; None where that is not known.

A pretraining: what is left of its budget, since a second that it has devices is a second charged; for a budget of steps
or sequences by its own speed, so not before it has trained. A grid: its newest estimate, or from the speeds of earlier
trials. A program: its time limit, so that it may well end earlier; one of bertd by its progress, once it has some. A
finetuning: not known.
"""

from __future__ import annotations

from pathlib import Path

from bertd.daemon.metrics.budget_position import ChargedTime
from bertd.daemon.metrics.run_metrics import RunMetrics
from bertd.errors import BertdError
from bertd.jobs.runner.command_job_runner import read_command_job_spec
from bertd.jobs.runner.grid.grid_runner import read_grid_spec
from bertd.jobs.store.queue import Job
from bertd.metrics.budget_view import current_budget
from bertd.records import PROGRAM_KINDS, BudgetUnit, JobKind, JobState
from bertd.run.budget import find_time_left
from bertd.run.grid import grid_schedule
from bertd.run.grid.finetune_halving import most_trials
from bertd.run.job_report import read_progress_share
from bertd.run.paths import JobPaths

_MAX_CACHED = 20_000
_MIN_SHARE = 0.05
"""Of its work that a program of bertd must have done before its speed so far is taken for the rest."""
_MAX_READ = 20
"""Jobs in one round of the scheduler; reading a recipe takes some milliseconds."""


class ExpectedDurations:
    """Finds how long jobs take."""

    def __init__(self, run_metrics: RunMetrics) -> None:
        self._run_metrics = run_metrics
        self._charged_time = ChargedTime(run_metrics)
        self._fresh_s: dict[int, float | None] = {}
        """By job, from its beginning: of jobs that never ran, which does not change."""
        self._num_read = 0
        self.is_complete = True
        """Whether each job that was asked for since the last `begin_round` was looked at."""

    def begin_round(self) -> None:
        """Allow more jobs to be looked at for the first time, which reads a file of each."""
        self._num_read, self.is_complete = 0, True

    def duration_s(self, job: Job) -> float | None:
        """Of a job that waits: seconds from its start to its end."""
        if job.stop_asked:
            # It starts only to validate and export, which ends long before its budget would.
            return None
        if job.started_t is not None and job.kind not in PROGRAM_KINDS:
            return self._find(job)
        if job.id not in self._fresh_s:
            if self._num_read >= _MAX_READ:
                self.is_complete = False
                return None
            self._num_read += 1
            if len(self._fresh_s) >= _MAX_CACHED:
                self._fresh_s.clear()
            self._fresh_s[job.id] = self._find(job)
        return self._fresh_s[job.id]

    def end_t(self, job: Job, *, now: float) -> float | None:
        """Of a job with devices: when they are expected to be free, in seconds since the epoch; it may be past."""
        if job.is_hot or job.state not in (JobState.STARTING, JobState.RUNNING):
            # Paused hot until a person resumes it; or about to end, soon, but nobody knows when.
            return None
        if job.kind is JobKind.PRETRAIN:
            left_s = self._find(job)
            return None if left_s is None else now + left_s
        if job.kind is JobKind.GRID:
            grid = self._run_metrics.summary(job).grid
            return None if grid is None or grid.remaining_s is None else grid.t + grid.remaining_s
        paths, duration_s = JobPaths(Path(job.folder)), self.duration_s(job)
        try:
            # Written when its runner began, which for one that was begun again is not its first start.
            began_t = paths.runner.stat().st_mtime
        except OSError:
            return None
        share = read_progress_share(paths) if job.kind in PROGRAM_KINDS and job.kind is not JobKind.COMMAND else None
        if share is not None and share >= _MIN_SHARE:
            return began_t + (now - began_t) / share
        return None if duration_s is None else began_t + duration_s

    def _find(self, job: Job) -> float | None:
        try:
            if job.kind is JobKind.PRETRAIN:
                return self._of_run(job)
            if job.kind is JobKind.GRID:
                return self._of_grid(job)
            if job.kind in PROGRAM_KINDS:
                return read_command_job_spec(JobPaths(Path(job.folder)).command_spec).time_limit_s
        except BertdError:
            # Its folder is damaged or gone: its start will say so.
            return None
        return None

    def _of_run(self, job: Job) -> float | None:
        recipe, summary = self._run_metrics.recipe(Path(job.folder)), self._run_metrics.summary(job)
        granted, charged_s = current_budget(recipe, summary), self._charged_time.charged_s(job)
        reserve_s = summary.progress.reserve_s or 0.0
        left = find_time_left(granted, charged_s=charged_s, reserve_s=reserve_s)
        if left is not None:
            return max(0.0, left.training_s) + left.reserve_s
        if not summary.sequences_per_s:
            return None
        spent = granted.spent(charged_s=charged_s, steps=summary.progress.step, sequences=summary.progress.sequences)
        sequences = max(0.0, granted.amount - spent)
        if granted.unit is BudgetUnit.STEPS:
            sequences *= recipe.batch.mean_sequences(min(1.0, spent / granted.amount))
        return sequences / summary.sequences_per_s + reserve_s

    def _of_grid(self, job: Job) -> float | None:
        newest = self._run_metrics.summary(job).grid
        if newest is not None:
            return newest.remaining_s
        spec = read_grid_spec(JobPaths(Path(job.folder)).grid_spec)
        workers = spec.num_cpu_workers if job.device_kind == "cpu" else job.num_devices * spec.workers_per_gpu
        left = grid_schedule.find_time_left(most_trials(spec), speeds=spec.epoch_seconds, num_workers=workers)
        return None if left.unmeasured else left.seconds
