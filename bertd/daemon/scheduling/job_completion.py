"""Finish a job whose runner exited: apply its outcome, or decide what to do if it left none."""

from __future__ import annotations

from collections.abc import Callable, Set
from pathlib import Path

from bertd.daemon.metrics.run_metrics import RunMetrics
from bertd.daemon.scheduling.runner_version import failure_with_remedy, is_of_other_version
from bertd.errors import DaemonBusyError
from bertd.jobs.runner.exit_analysis import KNOWN_EXITS, outcome_of_end
from bertd.jobs.runner.run_job import read_outcome
from bertd.jobs.store.database import Database
from bertd.jobs.store.lifecycle import (
    Actor,
    change_by_failure_on_lost_device,
    change_by_lost_runner,
    change_by_retry,
    changes_by_outcome,
)
from bertd.jobs.store.queue import Job, Queue
from bertd.jobs.store.tables.retry_table import RetryTable
from bertd.jobs.store.tables.start_times_table import StartTimesTable
from bertd.records import JobKind, JobState, Outcome
from bertd.run.amounts.local_times import format_local_time
from bertd.run.machine.processes import read_identity
from bertd.run.paths import JobPaths

MAX_RUNNER_LOSSES = 3
"""Times in a row that a runner may exit without an outcome and without a higher step."""
_BUSY_EXIT_CODE = DaemonBusyError.exit_code


class JobCompletion:
    """Moves jobs whose runner has exited."""

    def __init__(
        self, *, database: Database, queue: Queue, run_metrics: RunMetrics, unusable: Callable[[], Set[str]] = frozenset
    ) -> None:
        """`unusable`: devices that do no work now."""
        self._unusable = unusable
        self._database = database
        self._queue = queue
        self._run_metrics = run_metrics
        self._retries = RetryTable(database)
        self._start_times = StartTimesTable(database)

    def complete(self, job: Job, *, exit_code: int | None, is_stopping: bool, now: float) -> None:
        """Apply what a runner left; its devices are released in the same transaction.

        Args:
            job: its current row.
            exit_code: of the runner, where it was this daemon's child.
            is_stopping: the daemon is shutting down, so no job goes back into the queue.
            now: seconds since the epoch.

        Raises:
            RunFolderError: its outcome cannot be read.
        """
        outcome = read_outcome(JobPaths(Path(job.folder)))
        with self._database.transaction():
            is_on_lost_device = not self._unusable().isdisjoint(self._queue.leases().devices_of(job.id))
            self._queue.release(job.id)
            if outcome is not None:
                if outcome.state is JobState.FAILED and is_on_lost_device and job.wants_resume:
                    # The loss was noticed first: what failed is the device.
                    change = change_by_failure_on_lost_device(f"continues on other devices, since {outcome.reason}")
                    self._queue.apply(job.id, change, actor=Actor.SCHEDULER, now=now)
                else:
                    self._apply_outcome(job, outcome, is_stopping=is_stopping, now=now)
            elif not Path(job.folder).is_dir():
                reason = f"its folder {job.folder} was removed, and with it its checkpoints; submit it again"
                self._queue.move(job.id, JobState.FAILED, reason=reason, actor=Actor.SCHEDULER, now=now)
            elif exit_code == _BUSY_EXIT_CODE:
                reason = "another runner still had its folder; tried again"
                self._queue.move(job.id, JobState.QUEUED, reason=reason, actor=Actor.SCHEDULER, now=now)
            else:
                self._handle_lost_runner(job, exit_code=exit_code, now=now)
            self._run_metrics.close_follower(job)

    def _apply_outcome(self, job: Job, outcome: Outcome, *, is_stopping: bool, now: float) -> None:
        reason = outcome.reason
        identity = read_identity(JobPaths(Path(job.folder)).runner)
        if outcome.state is JobState.FAILED and identity is not None and is_of_other_version(job, identity):
            reason = failure_with_remedy(job, identity, reason)
        if outcome.state is JobState.FAILED and self._retry(job, reason, now=now):
            return
        changes = changes_by_outcome(job.status, outcome.state, reason, job_id=job.id, is_stopping=is_stopping)
        for change, actor in zip(changes, (Actor.RUNNER, Actor.SCHEDULER), strict=False):
            self._queue.apply(job.id, change, actor=actor, now=now)

    def _retry(self, job: Job, cause: str, *, now: float) -> bool:
        """Queue a job again that failed, if it has retries left and nobody stopped it; whether it is queued."""
        retries = self._retries.of_job(job.id)
        if job.stop_asked or not retries.has_more:
            return False
        self._retries.count(job.id)
        self._start_times.set_begin(job.id, now + retries.delay_s)
        attempt = f"attempt {retries.num_used + 2} of {retries.num_allowed + 1}"
        when = format_local_time(now + retries.delay_s, now=now)
        reason = f"begins again {when}, {attempt}, since the last one failed: {cause}"
        self._queue.apply(job.id, change_by_retry(reason), actor=Actor.SCHEDULER, now=now)
        return True

    def _handle_lost_runner(self, job: Job, *, exit_code: int | None, now: float) -> None:
        """Decide about a job whose runner exited without an outcome: it was killed, or the machine went down."""
        log = JobPaths(Path(job.folder)).log
        summary = self._run_metrics.open_follower(job).summary
        end = summary.end
        if job.kind is JobKind.PRETRAIN and end is not None and end.reason != "failed":
            # Its ranks had finished; nothing has to run again.
            outcome = outcome_of_end(end)
            self._queue.move(job.id, outcome.state, reason=outcome.reason, actor=Actor.RUNNER, now=now)
            return
        if exit_code in KNOWN_EXITS:
            reason = f"its runner could not work: {KNOWN_EXITS[exit_code][1]}; last lines in {log}"
            self._queue.move(job.id, JobState.FAILED, reason=reason, actor=Actor.SCHEDULER, now=now)
            return
        if self._retry(job, "its runner died", now=now):
            return
        step = summary.progress.step
        vanished = 1 if step > job.vanished_step else job.vanished + 1
        self._queue.update(job.id, vanished=vanished, vanished_step=step)
        reason_to_give_up = (
            f"its runner died {vanished} times without a step above {step} (out of memory? see dmesg); "
            f"last lines in {log}; fix the cause, then `bertd resume {job.id}`"
        )
        change = change_by_lost_runner(
            job.status,
            job_id=job.id,
            kind=job.kind,
            reason_to_give_up=reason_to_give_up if vanished >= MAX_RUNNER_LOSSES else None,
        )
        self._queue.apply(job.id, change, actor=Actor.SCHEDULER, now=now)
