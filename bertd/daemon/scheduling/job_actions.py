"""Carries out what people ask of jobs: the lifecycle decides, the mailbox tells the ranks, the queue remembers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from bertd.daemon.scheduling.device_allocation import Inventory
from bertd.daemon.scheduling.device_counts import check_device_count
from bertd.errors import TransitionError
from bertd.jobs.store.database import Database
from bertd.jobs.store.lifecycle import Actor, JobAction, JobChange, change_by_action
from bertd.jobs.store.queue import Job, Queue
from bertd.records import JobKind, JobState
from bertd.run.mailbox import post
from bertd.run.paths import JobPaths, RunPaths, newest_first


class JobActions:
    """Changes jobs for people; each call is one transaction."""

    def __init__(self, database: Database, queue: Queue, *, inventory: Inventory) -> None:
        self._database = database
        self._queue = queue
        self._inventory = inventory

    def apply(self, action: JobAction, job: Job, *, asked_by: str, now: float, hot: bool = False) -> Job:
        """Do it, or have it done: pauses and stops come true when the ranks obey.

        Args:
            hot: of a pause: hold, and keep the memory.

        Raises:
            TransitionError: the job's kind or state does not allow it.
            StorageError: the disk refused; nothing was changed.
        """
        change = change_by_action(
            action,
            job.status,
            job_id=job.id,
            kind=job.kind,
            hot=hot,
            has_trained=action is JobAction.STOP and _has_trained(job),
        )
        with self._database.transaction():
            changed = self._queue.apply(job.id, change, actor=Actor.PERSON, now=now)
            self._post_command(job, change, asked_by=asked_by, now=now)
            return changed

    def resume_on(self, num_devices: int, job: Job, *, asked_by: str, now: float) -> Job:
        """Let a run go on on another number of devices; one that waits for devices already waits for so many.

        Also where it waited for them only to stop: then it goes on after all.

        Raises:
            TransitionError: it is no run, has ranks, or is over.
            RecipeError: its batch cannot be shared so, or its recipe is gone.
            DeviceError: the box has fewer.
            DaemonBusyError: a runner that this daemon does not know has it.
        """
        check_device_count(job, num_devices, inventory=self._inventory)
        change = replace(
            change_by_action(JobAction.RESUME, job.status, job_id=job.id, kind=job.kind, on_other_devices=True),
            reason=f"a person lets it go on with {num_devices} of {job.device_kind}; waits for its turn",
        )
        with self._database.transaction():
            self._queue.update(job.id, num_devices=num_devices)
            changed = self._queue.apply(job.id, change, actor=Actor.PERSON, now=now)
            self._post_command(job, change, asked_by=asked_by, now=now)
            return changed

    def prioritize(self, job: Job, *, priority: int) -> Job:
        """Change its place in line.

        Raises:
            TransitionError: it waits no more.
        """
        if job.state not in (JobState.QUEUED, JobState.HELD, JobState.PAUSED):
            raise TransitionError(
                f"job {job.id}: its priority means nothing while it is {job.state}; only waiting ones"
            )
        self._queue.update(job.id, priority=priority)
        return self._queue.get(job.id)

    def _post_command(self, job: Job, change: JobChange, *, asked_by: str, now: float) -> None:
        if change.command is not None:
            post(JobPaths(Path(job.folder)).control, verb=change.command, asked_by=asked_by, now=now)


def _has_trained(job: Job) -> bool:
    return job.kind is JobKind.PRETRAIN and bool(newest_first(RunPaths(Path(job.folder)).checkpoints))
