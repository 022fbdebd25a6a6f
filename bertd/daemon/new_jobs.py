"""Make a new job: its folder, complete, then its row, in one transaction."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from bertd.daemon.admission.quota import Quotas
from bertd.errors import StorageError
from bertd.jobs.store.database import Database
from bertd.jobs.store.queue import Job, Queue
from bertd.records import JobKind, JobState
from bertd.run.atomic_files import fsync_folder
from bertd.run.paths import JobPaths


def draft_job(
    kind: JobKind,
    *,
    name: str,
    device_kind: Literal["cpu", "gpu"],
    num_devices: int,
    priority: int,
    hold: bool,
    uid: int,
    now: float,
    group: str | None = None,
    memory_bytes: int | None = None,
) -> Job:
    """A job without a number, a folder and a run."""
    return Job(
        id=0,
        kind=kind,
        name=name,
        state=JobState.HELD if hold else JobState.QUEUED,
        reason="submitted on hold; `bertd release` lets it start" if hold else "submitted; waits for its turn",
        priority=priority,
        run_id="",
        folder="",
        device_kind=device_kind,
        num_devices=num_devices,
        owner_uid=uid,
        created_t=now,
        group_name=group or "",
        memory_bytes=memory_bytes,
    )


class NewJobs:
    """Inserts drafts into the queue."""

    def __init__(self, *, database: Database, queue: Queue, quotas: Quotas) -> None:
        self._database = database
        self._quotas = quotas
        self._queue = queue

    def enqueue(
        self,
        draft: Job,
        *,
        choose_folder: Callable[[Job], tuple[JobPaths, str]],
        write_files: Callable[[JobPaths, Job], None],
    ) -> Job:
        """Create the folder, then the row, in one transaction: the row is rolled back if the folder cannot be created.

        A failed commit, or a crash before it, may have left a folder without a row; its number is skipped.

        Args:
            choose_folder: the folder and the run of a job that has its number.
            write_files: writes what the folder must have before the job may start.

        Raises:
            QuotaError: its owner has as many jobs as one may, or a quota of the disk is used up.
            SubmissionError: its group is not known, or allows fewer devices than it needs.
            StorageError: the disk refused.
        """
        self._quotas.require(draft.owner_uid)
        self._quotas.require_group(draft)
        self._quotas.require_disk()
        with self._database.transaction():
            reserved = self._queue.reserve(draft)
            job_paths, run_id = choose_folder(reserved)
            while job_paths.root.exists():
                self._queue.delete_reserved(reserved)
                reserved = self._queue.reserve(draft)
                job_paths, run_id = choose_folder(reserved)
            self._quotas.require_disk_of_run(job_paths.root)
            _make_folder(job_paths, write_files=lambda paths: write_files(paths, reserved))
            return self._queue.set_folder(reserved, folder=str(job_paths.root), run_id=run_id)


def _make_folder(paths: JobPaths, *, write_files: Callable[[JobPaths], None]) -> None:
    try:
        paths.logs.mkdir(mode=0o750, parents=True)
        paths.control.mkdir(mode=0o750)
        write_files(paths)
        # The parent folder may be new as well: its name is stored in its own parent.
        for folder in (paths.root, paths.root.parent, paths.root.parent.parent):
            fsync_folder(folder)
    except OSError as error:
        raise StorageError(f"{paths.root}: cannot make the job's folder: {error.strerror}; free space there") from error
