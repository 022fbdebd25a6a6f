"""Find and report processes of this state folder's jobs that have no living runner, at each start of the daemon.

A rank dies with its launcher and a launcher with its runner, so there should be none. One that is left holds memory
or a GPU and may write into a run that is started again, so its pid is reported. It is not killed: it may be a run that
was started by hand. A process of another user is not reported: its command line and environment are that user's text,
and only this user or root can have started the job.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from bertd.jobs.store.database import Database
from bertd.jobs.store.event_log import EventLog
from bertd.records import AlertRecord
from bertd.run.machine.processes import is_alive, read_identity
from bertd.run.paths import JobPaths, StatePaths

logger = logging.getLogger(__name__)

JOB_VARIABLE = "BERTD_JOB"
"""Environment variable with the job's folder, for the runner and all its descendants."""


@dataclass(frozen=True)
class Orphan:
    """A process of a job without a living runner."""

    pid: int
    command: str
    folder: Path
    """The folder of the job that it names."""


def find_orphans(paths: StatePaths) -> list[Orphan]:
    """All processes that name a job of this state folder and are neither its living runner nor a descendant of it."""
    return sorted(_iter_orphans(paths), key=lambda orphan: orphan.pid)


def report_orphans(paths: StatePaths, *, database: Database, events: EventLog) -> list[Orphan]:
    """Report each in the log and in the event stream."""
    orphans = find_orphans(paths)
    for orphan in orphans:
        message = (
            f"process {orphan.pid} ({orphan.command}) names {orphan.folder} and has no living runner; check whether it "
            f"holds memory or a GPU, and end it with `kill {orphan.pid}`"
        )
        logger.warning("%s", message)
        now = time.time()
        record = AlertRecord(t=now, step=0, level="warning", code="orphan_process", message=message)
        with database.transaction():
            text, data = f"orphan: {message}", record.model_dump(mode="json")
            events.append(record.kind, text, now=now, job_id=None, run_id=None, data=data)
    return orphans


def _iter_orphans(paths: StatePaths) -> Iterator[Orphan]:
    trusted_uids = {0, os.geteuid()}
    for process in psutil.process_iter(["cmdline"]):
        try:
            if process.uids().real not in trusted_uids:
                continue
            argv = process.info["cmdline"] or []
            folder = _find_job_folder(process, argv, paths)
            if folder is not None and not _has_runner(process, folder):
                yield Orphan(pid=process.pid, command=" ".join(argv)[:200], folder=folder)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            # It has exited meanwhile, or belongs to another user and so not to this daemon.
            continue


def _find_job_folder(process: psutil.Process, argv: list[str], paths: StatePaths) -> Path | None:
    """The job's folder that a process names: in its environment, or as an argument of one of bertd's programs."""
    if not argv:
        # A kernel thread, or a zombie.
        return None
    named = process.environ().get(JOB_VARIABLE)
    candidates = [named] if named else [word for word in argv if _is_bertd(argv)]
    for candidate in candidates:
        path = Path(candidate)
        if path.is_absolute() and path.is_relative_to(paths.root):
            return path
    return None


def _is_bertd(argv: list[str]) -> bool:
    return any(flag == "-m" and module.startswith("bertd.") for flag, module in zip(argv, argv[1:], strict=False))


def _has_runner(process: psutil.Process, folder: Path) -> bool:
    identity = read_identity(JobPaths(folder).runner)
    if identity is None or not is_alive(identity):
        return False
    return identity.pid in {process.pid, *(parent.pid for parent in process.parents())}
