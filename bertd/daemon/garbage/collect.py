"""Delete what `find_garbage` finds: renamed at once, while nothing else happens in the daemon, and removed after."""

from __future__ import annotations

import logging
import shutil
from dataclasses import dataclass
from pathlib import Path

from bertd.api.models import GarbageRequest, GarbageView
from bertd.daemon.garbage.find_garbage import Garbage, find_garbage
from bertd.daemon.process.blocking_calls import BlockingCalls
from bertd.errors import StillReadingError, StorageError
from bertd.jobs.store.event_log import EventLog
from bertd.jobs.store.job_names import find_job
from bertd.jobs.store.lifecycle import ENDED
from bertd.jobs.store.queue import Job, Queue
from bertd.records import JobKind, KeptCheckpoints
from bertd.run.amounts.quantities import format_bytes
from bertd.run.checkpoint_index import read_checkpoint_index, trash_checkpoint, write_checkpoint_index
from bertd.run.paths import TRASH_PREFIX, RunPaths

logger = logging.getLogger(__name__)

MAX_WALKS = 2
"""Walks over the folders of ended jobs at the same time, which anybody who may connect can ask for."""
_MAX_REMOVALS = 8


@dataclass(frozen=True)
class Taken:
    """A folder that nothing finds any more, and that is still to be removed."""

    garbage: Garbage
    trash: Path


class GarbageCollector:
    """Finds and deletes what ended jobs leave."""

    def __init__(self, queue: Queue, events: EventLog) -> None:
        self._queue = queue
        self._events = events
        self._walks = BlockingCalls("searches for what ended jobs leave", most=MAX_WALKS)
        self._removals = BlockingCalls("removals of what ended jobs left", most=_MAX_REMOVALS)

    async def find(self, request: GarbageRequest, *, now: float) -> list[Garbage]:
        """What can go; the disk is read in a thread.

        Raises:
            UnknownJobError: there is no such job.
            StillReadingError: others search at the moment.
        """
        jobs = self.jobs(request, now=now)
        return await self._walks.run(lambda: garbage_of(jobs, all_checkpoints=request.all_checkpoints))

    async def remove(self, taken: list[Taken]) -> None:
        """Remove the folders, in a thread; what is left of one is found as garbage the next time."""
        try:
            await self._removals.run(lambda: remove(taken))
        except StillReadingError as error:
            logger.warning("%d folders are left for the next `bertd gc`: %s", len(taken), error)

    def jobs(self, request: GarbageRequest, *, now: float) -> list[Job]:
        """The jobs that are looked at, oldest first.

        Raises:
            UnknownJobError: there is no such job.
        """
        jobs = [find_job(self._queue, name) for name in request.jobs] or self._queue.ended()
        # By its number: a job that is named twice is looked at once.
        by_id = {job.id: job for job in jobs if _ended_before(job, now - request.older_than_s)}
        return [by_id[id] for id in sorted(by_id)]

    def take_away(self, found: list[Garbage], *, taken: list[Taken], asked_by: str, now: float) -> None:
        """Take what was found out of the runs' sight, within the caller's transaction; `remove` does the rest.

        What a job needs again that has left its end meanwhile stays, and a checkpoint that is being read.

        Args:
            taken: gets what is to be removed, also where an error is raised: on a full disk nothing can be noted
                before something was removed.

        Raises:
            StorageError: the disk refused.
        """
        by_job: dict[int, list[Garbage]] = {}
        for each in found:
            if self._queue.get(each.job.id).state not in ENDED:
                continue
            try:
                trash = _rename(each.folder)
            except FileNotFoundError:
                continue
            except OSError as error:
                raise StorageError(f"{each.folder}: cannot be deleted: {error.strerror}") from error
            if trash is not None:
                taken.append(Taken(each, trash))
                by_job.setdefault(each.job.id, []).append(each)
        for of_job in by_job.values():
            self._note(of_job, asked_by=asked_by, now=now)

    def _note(self, gone: list[Garbage], *, asked_by: str, now: float) -> None:
        job = gone[0].job
        if job.kind is JobKind.PRETRAIN:
            _forget_missing_checkpoints(RunPaths(Path(job.folder)))
        size = format_bytes(sum(each.size_bytes for each in gone))
        count = f"{len(gone)} folder{'s' * (len(gone) > 1)}"
        text = f"job {job.id} {job.name}: {count}, {size}, deleted by {asked_by}"
        self._events.append("garbage", text, now=now, job_id=job.id, run_id=job.run_id, data={})


def garbage_view(garbage: Garbage) -> GarbageView:
    """One folder as the API sends it."""
    return GarbageView(
        job_id=garbage.job.id,
        run_id=garbage.job.run_id,
        what=garbage.what,
        folder=str(garbage.folder),
        size_bytes=garbage.size_bytes,
    )


def garbage_of(jobs: list[Job], *, all_checkpoints: bool) -> list[Garbage]:
    """What can go of these jobs; it reads the disk only, and may be called in a thread."""
    return [each for job in jobs for each in find_garbage(job, all_checkpoints=all_checkpoints)]


def remove(taken: list[Taken]) -> None:
    """Remove the folders, which takes seconds; what is left of one is found as garbage the next time."""
    for each in taken:
        shutil.rmtree(each.trash, ignore_errors=True)


def _ended_before(job: Job, t: float) -> bool:
    return job.state in ENDED and job.ended_t is not None and job.ended_t <= t


def _rename(folder: Path) -> Path | None:
    """The new name of a folder; None if it is being read."""
    return folder if folder.name.startswith(TRASH_PREFIX) else trash_checkpoint(folder)


def _forget_missing_checkpoints(paths: RunPaths) -> None:
    """Leave them out of the index: those that went now, and those of a deletion that could not be noted."""
    kept = read_checkpoint_index(paths).checkpoints
    left = [checkpoint for checkpoint in kept if (paths.checkpoints / checkpoint.name).is_dir()]
    if len(left) < len(kept):
        write_checkpoint_index(paths, KeptCheckpoints(checkpoints=left))
