"""Carries out what people ask of jobs: the lifecycle decides, the mailbox tells the ranks, the queue remembers."""

from __future__ import annotations

from pathlib import Path

from bertd.daemon.scheduling.device_allocation import Inventory
from bertd.daemon.scheduling.device_counts import check_device_count
from bertd.errors import TransitionError
from bertd.jobs.store.database import Database
from bertd.jobs.store.lifecycle import Actor, JobAction, state_after
from bertd.jobs.store.queue import Job, Queue
from bertd.records import CommandKind, JobKind, JobState
from bertd.run.mailbox import post
from bertd.run.paths import JobPaths, RunPaths, newest_first

_REASONS = {
    JobState.PAUSING: "a person asked; it saves at the next step",
    JobState.STOPPING: "a person asked; it saves, validates and exports",
    JobState.HELD: "a person holds it; `bertd release` lets it go",
    JobState.QUEUED: "a person lets it go on; waits for its turn",
    JobState.CANCELLED: "a person stopped it before it began",
}

STOP_PENDING_REASON = (
    "a person asked it to stop: validates and exports as soon as it has devices; stop again to drop that, or resume it"
)
_SUSPEND_REASON = "a person asked; it holds at the next step and keeps its memory"


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
        if hot and job.is_hot and not job.wants_resume:
            raise TransitionError(f"job {job.id}: is paused hot already; resume it, or pause it without --hot")
        if action is JobAction.RESUME and job.state is JobState.QUEUED and job.stop_asked:
            return self._cancel_stop(job, reason="a person lets it go on after all; waits for its turn")
        target = state_after(action, job_id=job.id, kind=job.kind, state=job.state, is_hot=job.is_hot)
        with self._database.transaction():
            match action:
                case JobAction.STOP:
                    return self._stop(job, target=target, asked_by=asked_by, now=now)
                case JobAction.PAUSE:
                    moved = self._move(job, target, now=now, reason=_SUSPEND_REASON if hot else None)
                    self._queue.update(job.id, wants_resume=0)
                    self._post_command(
                        job, CommandKind.SUSPEND if hot else CommandKind.PAUSE, asked_by=asked_by, now=now
                    )
                    return moved
                case JobAction.CHECKPOINT:
                    self._post_command(job, CommandKind.CHECKPOINT, asked_by=asked_by, now=now)
                    return job
                case JobAction.RESUME:
                    return self._resume(job, target=target, asked_by=asked_by, now=now)
                case JobAction.HOLD | JobAction.RELEASE:
                    return self._move(job, target, now=now)

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
        reason = f"a person lets it go on with {num_devices} of {job.device_kind}; waits for its turn"
        with self._database.transaction():
            self._queue.update(job.id, num_devices=num_devices)
            if job.state is JobState.QUEUED:
                return self._cancel_stop(job, reason=reason)
            target = state_after(JobAction.RESUME, job_id=job.id, kind=job.kind, state=job.state)
            return self._resume(job, target=target, asked_by=asked_by, now=now, reason=reason)

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

    def _resume(self, job: Job, *, target: JobState, asked_by: str, now: float, reason: str | None = None) -> Job:
        if job.is_hot:
            # Noted until it trains: if its ranks die or the daemon ends before they hear it, it goes on all the same.
            self._queue.update(job.id, wants_resume=1, reason="a person lets it go on; it trains at once")
            self._post_command(job, CommandKind.RESUME, asked_by=asked_by, now=now)
            return self._queue.get(job.id)
        if target is JobState.PAUSING:
            self._queue.update(job.id, wants_resume=1, reason="saves, and goes on right after: a person asked for both")
            return self._queue.get(job.id)
        self._queue.update(job.id, wants_resume=0, stop_asked=0, vanished=0)
        return self._move(job, target, now=now, reason=reason)

    def _stop(self, job: Job, *, target: JobState, asked_by: str, now: float) -> Job:
        if target is JobState.STOPPING:
            moved = self._move(job, target, now=now)
            self._queue.update(job.id, stop_asked=1, wants_resume=0)
            self._post_command(job, CommandKind.STOP, asked_by=asked_by, now=now)
            return moved
        if job.stop_asked or not _has_trained(job):
            reason = "a person stopped it twice; nothing was exported" if job.stop_asked else _REASONS[target]
            return self._move(job, target, reason=reason, now=now)
        # It has something worth exporting, and only the ranks can do that: they get the order as they start.
        reason = STOP_PENDING_REASON
        if job.state is not JobState.QUEUED:
            self._queue.move(job.id, JobState.QUEUED, reason=reason, actor=Actor.PERSON, now=now)
        self._queue.update(job.id, stop_asked=1, reason=reason)
        self._post_command(job, CommandKind.STOP, asked_by=asked_by, now=now)
        return self._queue.get(job.id)

    def _cancel_stop(self, job: Job, *, reason: str) -> Job:
        """A queued job goes on where it was asked to stop; the order in its mailbox is void when it starts."""
        self._queue.update(job.id, stop_asked=0, vanished=0, reason=reason)
        return self._queue.get(job.id)

    def _move(self, job: Job, target: JobState, *, now: float, reason: str | None = None) -> Job:
        text = reason or _REASONS[target]
        return self._queue.move(job.id, target, reason=text, actor=Actor.PERSON, now=now)

    def _post_command(self, job: Job, verb: CommandKind, *, asked_by: str, now: float) -> None:
        post(JobPaths(Path(job.folder)).control, verb=verb, asked_by=asked_by, now=now)


def _has_trained(job: Job) -> bool:
    return job.kind is JobKind.PRETRAIN and bool(newest_first(RunPaths(Path(job.folder)).checkpoints))
