"""Apply actions to jobs: the lifecycle decides, the mailbox has the command for the ranks, the queue the new state."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

from bertd.daemon.admission.quota import Quotas
from bertd.daemon.scheduling.devices.device_allocation import Inventory
from bertd.daemon.scheduling.devices.device_counts import check_device_count
from bertd.daemon.scheduling.job_order import Ordered, Target, decide_move
from bertd.errors import TransitionError
from bertd.jobs.store.database import Database
from bertd.jobs.store.lifecycle import ENDED, MOVABLE, Actor, JobAction, JobChange, change_by_action
from bertd.jobs.store.queue import Job, Queue
from bertd.jobs.store.tables.dependency_table import DependencyTable
from bertd.jobs.store.tables.retry_table import RetryTable
from bertd.jobs.store.waiting_cache import service_order
from bertd.records import JobKind, JobState
from bertd.run.mailbox import post
from bertd.run.paths import JobPaths, RunPaths, newest_first


class JobActions:
    """Applies the actions of people to jobs; each call is one transaction."""

    def __init__(self, database: Database, queue: Queue, *, inventory: Inventory, quotas: Quotas) -> None:
        self._database = database
        self._queue = queue
        self._inventory = inventory
        self._quotas = quotas
        self._dependency_table = DependencyTable(database)
        self._retries = RetryTable(database)

    def apply(self, action: JobAction, job: Job, *, asked_by: str, now: float, hot: bool = False) -> Job:
        """Apply an action; a pause or a stop takes effect when the ranks have read the command.

        Args:
            hot: for a pause: suspend the ranks and keep their memory.

        Raises:
            TransitionError: the job's kind or state does not allow it.
            QuotaError: a resume of what had ended, and its owner has as many jobs as one may.
            StorageError: the disk refused; nothing was changed.
        """
        change = change_by_action(
            action,
            job.status,
            job_id=job.id,
            kind=job.kind,
            hot=hot,
            has_begun=job.started_t is not None,
            has_trained=action is JobAction.STOP and _has_trained(job),
        )
        self._require_quota(job, change)
        with self._database.transaction():
            if action is JobAction.RELEASE:
                self._dependency_table.waive_broken(job.id)
            elif action is JobAction.RESUME:
                self._retries.reset(job.id)
            changed = self._queue.apply(job.id, change, actor=Actor.PERSON, now=now)
            self._post_command(job, change, asked_by=asked_by, now=now)
            return changed

    def resume_on(self, num_devices: int, job: Job, *, asked_by: str, now: float) -> Job:
        """Resume a run on another number of devices; if it waits for devices already, change how many it waits for.

        If it waits for devices only to stop, the stop is cancelled.

        Raises:
            TransitionError: the job is not a run, has ranks, or is over.
            RecipeError: its batch does not divide evenly enough, or its recipe is missing.
            DeviceError: the machine has fewer.
            DaemonBusyError: a runner that this daemon does not know has the run.
        """
        check_device_count(job, num_devices, inventory=self._inventory)
        change = replace(
            change_by_action(JobAction.RESUME, job.status, job_id=job.id, kind=job.kind, on_other_devices=True),
            reason=f"resumed by a person with {num_devices} of {job.device_kind}; waits for its turn",
        )
        self._require_quota(job, change)
        with self._database.transaction():
            self._queue.update(job.id, num_devices=num_devices)
            changed = self._queue.apply(job.id, change, actor=Actor.PERSON, now=now)
            self._post_command(job, change, asked_by=asked_by, now=now)
            return changed

    def _require_quota(self, job: Job, change: JobChange) -> None:
        """What had ended did not count; queued again it does."""
        if job.state in ENDED and change.state is JobState.QUEUED:
            self._quotas.require(job.owner_uid)

    def prioritize(self, job: Job, *, priority: int) -> Job:
        """Change a job's place in the queue.

        Raises:
            TransitionError: the job is not waiting.
        """
        if job.state not in MOVABLE:
            raise TransitionError(
                f"job {job.id}: is {job.state}, so its priority cannot be changed; only that of a waiting job can"
            )
        # Where it had been moved to was among others.
        self._queue.update(job.id, priority=priority, place=None)
        return self._queue.get(job.id)

    def set_group(self, job: Job, group: str) -> None:
        """Put a waiting job into another group, or into none.

        Raises:
            TransitionError: it does not wait.
            SubmissionError: there is no such group, or it allows fewer devices than the job needs.
        """
        if job.state not in MOVABLE:
            raise TransitionError(f"job {job.id}: is {job.state}, so its group cannot be changed")
        self._quotas.require_group(replace(job, group_name=group))
        self._queue.update(job.id, group_name=group)

    def move(self, job: Job, side: Literal["before", "after", "first", "last"], other: Job | None = None) -> Job:
        """Move a job in the queue.

        Args:
            other: the job that it is moved before or after.

        Raises:
            TransitionError: one of the two does not wait, or they are the same.
        """
        for each in (job, other):
            if each is not None and each.state not in MOVABLE:
                raise TransitionError(
                    f"job {each.id}: is {each.state}, so it has no place in the queue; only queued, held and paused "
                    "jobs have"
                )
        if other is not None and other.id == job.id:
            raise TransitionError(f"job {job.id}: cannot be moved {side} itself; name another job")
        jobs = [Ordered(each.id, each.priority, service_order(each)[1]) for each in self._queue.movable()]
        target = Target(side, 0 if other is None else other.id)
        changes = decide_move(jobs, job.id, target, end=float(self._queue.next_id()))
        with self._database.transaction():
            for change in changes.values():
                self._queue.update(change.id, priority=change.priority, place=change.place)
        return self._queue.get(job.id)

    def _post_command(self, job: Job, change: JobChange, *, asked_by: str, now: float) -> None:
        if change.command is not None:
            post(JobPaths(Path(job.folder)).control, verb=change.command, asked_by=asked_by, now=now)


def _has_trained(job: Job) -> bool:
    return job.kind is JobKind.PRETRAIN and bool(newest_first(RunPaths(Path(job.folder)).checkpoints))
