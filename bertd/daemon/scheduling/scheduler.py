"""The scheduler: follow journals, apply outcomes, lease devices, start runners.

Only it writes to the queue what the runners report. Requests are handled between two ticks, on the same thread.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Collection, Mapping, Set
from pathlib import Path

from bertd.api.models import DeviceProcess
from bertd.daemon.lending.lends import Lends
from bertd.daemon.lending.lent_devices import find_lend, leases_with_lends
from bertd.daemon.metrics.journal_follower import JournalFollower
from bertd.daemon.metrics.run_metrics import RunMetrics
from bertd.daemon.process.journal_log import log_fields
from bertd.daemon.scheduling.conditions.dependencies import Dependencies
from bertd.daemon.scheduling.conditions.group_limits import GroupLimits
from bertd.daemon.scheduling.conditions.start_check import StartCheck
from bertd.daemon.scheduling.conditions.time_check import reason_to_pause
from bertd.daemon.scheduling.conditions.waiting_jobs import WaitingJobs
from bertd.daemon.scheduling.devices.device_allocation import Allocation, Inventory
from bertd.daemon.scheduling.devices.device_counts import apply_device_count
from bertd.daemon.scheduling.expectations.expected_durations import ExpectedDurations
from bertd.daemon.scheduling.expectations.outlook import Outlook
from bertd.daemon.scheduling.job_completion import JobCompletion
from bertd.daemon.scheduling.moved_folders import renew_paths
from bertd.daemon.scheduling.runner_version import adoption_alert, is_of_other_version, reason_with_warning
from bertd.daemon.scheduling.runners import RunnerHandle, Runners, has_other_runner
from bertd.daemon.scheduling.start_decisions import StartDecisions
from bertd.errors import BertdError, DaemonBusyError, StorageError
from bertd.jobs.runner.clean_folder import clean_job_folder
from bertd.jobs.store.database import Database
from bertd.jobs.store.event_log import EventLog
from bertd.jobs.store.lifecycle import (
    Actor,
    JobChange,
    change_at_closing,
    change_at_recovery,
    change_at_shutdown,
    change_at_start,
)
from bertd.jobs.store.queue import Job, Queue
from bertd.jobs.store.tables.start_times_table import StartTimesTable
from bertd.metrics.event_text import event_text
from bertd.records import PROGRAM_KINDS, JobKind, JobState
from bertd.run.amounts.quantities import format_bytes
from bertd.run.mailbox import post
from bertd.run.paths import JobPaths, RunPaths, StatePaths

logger = logging.getLogger(__name__)

_CLOSE_AGAIN_S = 60.0
"""After which a job that could not be paused at the end of its hours is paused again."""


class Scheduler:
    """Moves jobs through their states, one round per tick."""

    def __init__(
        self,
        *,
        database: Database,
        queue: Queue,
        events: EventLog,
        run_metrics: RunMetrics,
        runners: Runners,
        inventory: Inventory,
        foreign_processes: Callable[[], dict[str, list[DeviceProcess]]] = dict,
        drained: Callable[[], Collection[str]] = tuple,
        unusable: Callable[[], Set[str]] = frozenset,
        groups: Callable[[], Mapping[str, GroupLimits]] = dict,
        queue_jobs: Callable[[], None] = lambda: None,
        check_at_start: Callable[[Job], None] = lambda job: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._queue = queue
        self._events = events
        self._run_metrics = run_metrics
        self._runners = runners
        self._inventory = inventory
        self._foreign_processes = foreign_processes
        self._drained = drained
        self._unusable = unusable
        self._queue_jobs = queue_jobs
        self._clock = clock
        self._start_times = StartTimesTable(database)
        self._start_check = StartCheck(queue, check=check_at_start)
        dependencies = Dependencies(database, queue, run_metrics=run_metrics)
        self._waiting_jobs = WaitingJobs(database, queue, dependencies=dependencies)
        durations = ExpectedDurations(run_metrics)
        self.lends = Lends(
            database=database,
            queue=queue,
            events=events,
            run_metrics=run_metrics,
            inventory=inventory,
            drained=lambda: {*drained(), *unusable()},
            save=self._save,
            catch_up=self.catch_up,
            end_t=lambda job, now: durations.end_t(job, now=now),
            waits_for_others=dependencies.are_unmet,
        )
        """The runs that lend their devices to other jobs."""
        self.outlook = Outlook(
            queue,
            leases=lambda: leases_with_lends(queue.leases(), self.lends.open),
            durations=durations,
            dependencies=dependencies,
            start_times=self._start_times,
            inventory=inventory,
            groups=groups,
            clock=clock,
        )
        """When the jobs that wait are expected to start."""
        self._start_decisions = StartDecisions(
            queue,
            run_metrics=run_metrics,
            inventory=inventory,
            lends=self.lends,
            outlook=self.outlook,
            drained=lambda: {*drained(), *unusable()},
            groups=groups,
        )
        self._job_completion = JobCompletion(database=database, queue=queue, run_metrics=run_metrics, unusable=unusable)
        self._journal_follower = JournalFollower(
            database=database, queue=queue, events=events, run_metrics=run_metrics, clock=clock
        )
        self._closed_t: dict[int, float] = {}
        """By job: when it was last paused because its hours were over."""
        self.is_stopping = False
        """No job is started any more."""

    def recover_jobs(self) -> None:
        """Run once, at the start: adopt living runners, complete jobs without one, resume what a shutdown paused."""
        now = self._clock()
        # Before anything is resumed: the end of the daemon may have paused a run that had reached a rung.
        self._queue_jobs()
        # First, so that jobs that ran get their devices back before the jobs that waited.
        for job in self._queue.paused():
            if (change := change_at_recovery(job.status)) is not None:
                self._queue.apply(job.id, change, actor=Actor.SCHEDULER, now=now)
        for job in self._queue.live():
            if self._adopt_runner(job):
                logger.info("job %d: adopted its runner", job.id, extra=log_fields(job.id, job.run_id))
                self._run_metrics.open_follower(job)
        self.tick()

    def tick(self) -> bool:
        """Do one round; return whether another is due at once, because a journal has more to read.

        Raises:
            StorageError: the queue cannot be written; the next round tries again.
        """
        has_more = False
        for job in self._queue.live():
            try:
                has_more |= self._check_running_job(job)
            except StorageError:
                # The disk may have space again soon; nothing is known to be wrong with the job.
                raise
            except BertdError as error:
                self._mark_lost(job, reason=str(error))
        if not self.is_stopping:
            self._pause_outside_of_hours()
            self._queue_jobs()
            self.lends.advance(self._clock())
            self._start_waiting_jobs()
        return has_more

    def prepare_shutdown(self) -> None:
        """Start no more jobs; have each running one save or end, so that the next daemon resumes it by itself."""
        self.is_stopping = True
        for job in self.jobs_to_save():
            try:
                if (change := change_at_shutdown(job.status)) is not None:
                    self._save(job, change, asked_by="the daemon, which is being stopped", now=self._clock())
            except StorageError as error:
                # The others can still be saved.
                logger.error(
                    "job %d cannot be sent the command to save, and keeps running: %s",
                    job.id,
                    error,
                    extra=log_fields(job.id, job.run_id),
                )

    def jobs_to_save(self) -> list[Job]:
        """Those with a runner that the end of the daemon pauses; a program cannot be continued, so it keeps running."""
        return [job for job in self._queue.live() if job.kind not in PROGRAM_KINDS]

    def _save(self, job: Job, change: JobChange, *, asked_by: str, now: float) -> None:
        """Have a job save: a run by a command, another by ending its runner."""
        with self._database.transaction():
            self._queue.apply(job.id, change, actor=Actor.SCHEDULER, now=now)
            if change.command is not None and job.kind is JobKind.PRETRAIN:
                control = JobPaths(Path(job.folder)).control
                post(control, verb=change.command, asked_by=asked_by, now=now)
        if job.kind is not JobKind.PRETRAIN and job.id in self._runners.attached:
            self._runners.terminate(job.id)

    def catch_up(self, job: Job) -> None:
        """Read what the daemon itself wrote into the journal of a job that has no runner."""
        while self._journal_follower.follow(job):
            pass
        self._run_metrics.close_follower(job)

    def _check_running_job(self, job: Job) -> bool:
        handle = self._runners.attached.get(job.id)
        if handle is not None and not handle.has_ended():
            has_more = self._journal_follower.follow(job)
            self._show_other_version(job, handle)
            return has_more
        if Path(job.folder).is_dir() and self._journal_follower.follow(job):
            # A piece at a time: the daemon may have been away for long, and others wait meanwhile.
            return True
        exit_code = None
        if handle is not None:
            exit_code = handle.exit_code
            self._runners.detach(job.id)
        if self._adopt_runner(job):
            # Another runner had the job, and ours found the folder taken.
            self._run_metrics.open_follower(job)
            return True
        if has_other_runner(Path(job.folder)):
            # An earlier daemon started it a moment ago, and it has not written its identity yet.
            return False
        while Path(job.folder).is_dir() and self._journal_follower.follow(job):
            # What that runner wrote between the two looks.
            pass
        self._job_completion.complete(
            self._queue.get(job.id), exit_code=exit_code, is_stopping=self.is_stopping, now=self._clock()
        )
        return False

    def _adopt_runner(self, job: Job) -> bool:
        """Watch an earlier daemon's runner; return whether it is alive. Warn if it is of another version."""
        if not self._runners.adopt(job.id, folder=Path(job.folder)):
            return False
        identity = self._runners.attached[job.id].identity
        if identity is not None and is_of_other_version(job, identity):
            now, step = self._clock(), self._run_metrics.summary(job).progress.step
            alert = adoption_alert(job, identity, step=step, now=now)
            logger.warning("%s", alert.message)
            text, data = f"{job.run_id}: {event_text(alert)}", alert.model_dump(mode="json")
            with self._database.transaction():
                self._events.append(alert.kind, text, now=now, job_id=job.id, run_id=job.run_id, data=data)
        return True

    def _show_other_version(self, job: Job, handle: RunnerHandle) -> None:
        """Add the warning to the job's reason, whenever the journal has changed that."""
        if handle.identity is None or not is_of_other_version(job, handle.identity):
            return
        current = self._queue.get(job.id)
        reason = reason_with_warning(current, handle.identity)
        if reason != current.reason:
            self._queue.update(job.id, reason=reason)

    def _mark_lost(self, job: Job, *, reason: str) -> None:
        """Move a job whose folder cannot be used to `lost`; while its runner lives, only update the reason."""
        handle = self._runners.attached.get(job.id)
        if handle is not None and not handle.has_ended():
            if job.reason != reason:
                logger.error("job %d: %s", job.id, reason, extra=log_fields(job.id, job.run_id))
                self._queue.update(job.id, reason=reason)
            return
        logger.error("job %d is lost: %s", job.id, reason, extra=log_fields(job.id, job.run_id))
        if handle is not None:
            self._runners.detach(job.id)
        with self._database.transaction():
            self._queue.release(job.id)
            self._queue.move(job.id, JobState.LOST, reason=reason, actor=Actor.SCHEDULER, now=self._clock())
        self._run_metrics.close_follower(job)

    def _start_waiting_jobs(self) -> None:
        now, drained = self._clock(), {*self._drained(), *self._unusable()}
        lends = self.lends.open
        queued = self._queue.waiting()
        others = [job for job in queued if find_lend(job.id, lends) is None] if lends else queued
        # Before the first of them starts, so that also the start of one that waits for nothing was expected.
        self.outlook.update(others, drained=drained, now=now)
        may_start = self._start_check.without_silent(self._waiting_jobs.may_start(queued, now=now), now=now)
        occupied = self._foreign_processes() if may_start else {}
        decisions = self._start_decisions.decide(may_start, occupied, now=now)
        self._waiting_jobs.set_reasons(decisions)
        for decision in decisions:
            if isinstance(decision, Allocation):
                self._start(decision, occupied)

    def would_start(self, job_id: int) -> list[Job]:
        """The jobs that would start at once if this job gave its devices back."""
        return self._start_decisions.would_start(job_id, self._foreign_processes(), now=self._clock())

    def _pause_outside_of_hours(self) -> None:
        times, now = self._start_times.of_unended(), self._clock()
        for job in self._queue.live() if times else []:
            if job.id not in times or not (reason := reason_to_pause(times[job.id], now=now)):
                continue
            change = change_at_closing(job.status, reason)
            # Not at each look: where the disk refuses the checkpoint, the run goes on.
            if change is not None and abs(now - self._closed_t.get(job.id, -math.inf)) >= _CLOSE_AGAIN_S:
                self._closed_t[job.id] = now
                self._save(job, change, asked_by="the daemon, by the job's hours", now=now)

    def _start(self, allocation: Allocation, occupied: dict[str, list[DeviceProcess]]) -> None:
        job, folder, now = allocation.job, Path(allocation.job.folder), self._clock()
        try:
            if not folder.is_dir():
                self._queue.move(
                    job.id,
                    JobState.LOST,
                    reason=f"{folder}: the folder is gone; restore it and `bertd resume {job.id}`",
                    actor=Actor.SCHEDULER,
                    now=now,
                )
                return
            if not self._start_check.may_start(job, now=now):
                return
            clean_job_folder(folder, keep_stop=job.stop_asked, now=now)
            renew_paths(JobPaths(folder), job.kind, state=StatePaths(self._queue.root))
            self._apply_device_count(job, now=now)
            # Committed before the process exists: a daemon that dies in between finds no runner and queues it again.
            with self._database.transaction():
                self._queue.lease(
                    job.id,
                    allocation.devices,
                    parts=allocation.parts,
                    memory_bytes=allocation.memory_bytes,
                    of_bytes=allocation.of_bytes,
                )
                change = change_at_start(
                    f"starts on {_format_devices(allocation)}{_format_occupied(allocation.devices, occupied)}"
                )
                self._queue.apply(job.id, change, actor=Actor.SCHEDULER, now=now)
            self.outlook.accuracy.note_start(job.id, now=now)
            self._run_metrics.open_follower(job)
            self._runners.start(
                job.id,
                kind=job.kind,
                folder=folder,
                devices=allocation.devices,
                parts=allocation.parts,
                memory_bytes=allocation.memory_bytes,
            )
        except DaemonBusyError as error:
            self._adopt_earlier_runner(allocation, reason=str(error))
        except BertdError as error:
            with self._database.transaction():
                self._queue.release(job.id)
                self._queue.move(job.id, JobState.FAILED, reason=str(error), actor=Actor.SCHEDULER, now=now)
            self._run_metrics.close_follower(job)

    def _apply_device_count(self, job: Job, *, now: float) -> None:
        """Set the number of ranks in a run's recipe to the job's number of devices."""
        if job.kind is not JobKind.PRETRAIN:
            return
        folder = Path(job.folder)
        step = self._run_metrics.summary(job).progress.step
        if apply_device_count(RunPaths(folder), job.num_devices, step=step, now=now) is not None:
            # Update both: the devices of one with the charge of the other would give wrong GPU-hours.
            self.catch_up(job)
            self._run_metrics.forget_recipe(folder)

    def _adopt_earlier_runner(self, allocation: Allocation, *, reason: str) -> None:
        """Adopt a runner that an earlier daemon started just before it exited."""
        job = allocation.job
        if not self._adopt_runner(job):
            if job.reason != reason:
                self._queue.update(job.id, reason=reason)
            return
        with self._database.transaction():
            self._queue.lease(
                job.id,
                allocation.devices,
                parts=allocation.parts,
                memory_bytes=allocation.memory_bytes,
                of_bytes=allocation.of_bytes,
            )
            text = "a runner of an earlier daemon has it"
            self._queue.move(job.id, JobState.STARTING, reason=text, actor=Actor.SCHEDULER, now=self._clock())
        self._run_metrics.open_follower(job)


def _format_devices(allocation: Allocation) -> str:
    part = "" if allocation.parts == 1 else f"one of {allocation.parts} parts of "
    if allocation.memory_bytes is not None:
        part = f"{format_bytes(allocation.memory_bytes)} of "
    return ", ".join(
        f"{n} core{'s' * (n > 1)}" if device == "cpu" else f"{part}{device}" for device, n in allocation.devices.items()
    )


def _format_occupied(devices: dict[str, int], occupied: dict[str, list[DeviceProcess]]) -> str:
    """Which of a job's GPUs others use already; empty where none is."""
    used = [(device, process) for device in devices for process in occupied.get(device, [])]
    texts = [f"{device} is used by {process.name} (pid {process.pid}, {process.user})" for device, process in used]
    return "".join(f"; {text}, which bertd did not start" for text in texts)
