"""The state folder: made, checked for other users' access, and for a queue that was lost."""

from __future__ import annotations

import logging
import os
import re
import time
from pathlib import Path

from bertd.errors import DaemonError, StorageError
from bertd.jobs.store.database import Database
from bertd.jobs.store.event_log import EventLog
from bertd.records import AlertRecord
from bertd.run.machine.trusted_folders import find_intruder_risk
from bertd.run.paths import StatePaths

logger = logging.getLogger(__name__)

_UMASK = 0o027
"""At least: nobody but the owner and its group reads what daemon, runners and ranks write below the state folder."""
_NUM_NAMED = 20
_RUN_FOLDER = re.compile(r"\d+-.+")


def open_state_folder(state_dir: Path) -> StatePaths:
    """Make the folder if it is not there, check it, and have files of this process be made for owner and group alone.

    Raises:
        DaemonError: another user could change what is in it.
        StorageError: it cannot be made or read.
    """
    os.umask(os.umask(_UMASK) | _UMASK)
    state_dir = state_dir.absolute()
    try:
        state_dir.mkdir(mode=0o750, parents=True, exist_ok=True)
        risk = find_intruder_risk(state_dir)
    except OSError as error:
        raise StorageError(f"{state_dir}: cannot make the state folder: {error.strerror}; choose another") from error
    if risk is not None:
        raise DaemonError(f"{state_dir}: is not a safe state folder: {risk}, or choose another with --state-dir")
    return StatePaths(state_dir)


def find_lost_runs(paths: StatePaths) -> list[str]:
    """Names of the run folders whose queue is gone; none while there is a queue.

    Raises:
        DaemonError: the queue is there and empty, which no bertd leaves.
    """
    names = sorted(_run_folders(paths.runs), key=lambda name: int(name.partition("-")[0]))
    wal = paths.queue.with_name(f"{paths.queue.name}-wal")
    if not names or _size(wal):
        return []
    size = _size(paths.queue)
    if size == 0:
        raise DaemonError(
            f"{paths.queue}: the queue is damaged: it is empty, but {paths.runs} has {_list_names(names)}; it is left "
            "as it is; restore a copy, or move it away to start with an empty queue"
        )
    return names if size is None else []


def report_lost_runs(names: list[str], *, paths: StatePaths, database: Database, events: EventLog) -> None:
    """Report run folders that no job names, in the log and in the event stream."""
    if not names:
        return
    message = (
        f"{paths.queue} was not there and is new, but {paths.runs} has {_list_names(names)}, of which the queue knows "
        "nothing; their files stay; restore a copy of queue.db to have them back"
    )
    logger.warning("%s", message)
    now = time.time()
    record = AlertRecord(t=now, step=0, level="warning", code="queue_lost", message=message)
    with database.transaction():
        events.append(record.kind, message, now=now, job_id=None, run_id=None, data=record.model_dump(mode="json"))


def _run_folders(runs: Path) -> list[str]:
    try:
        return [entry.name for entry in os.scandir(runs) if _RUN_FOLDER.fullmatch(entry.name) and entry.is_dir()]
    except FileNotFoundError:
        return []


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None


def _list_names(names: list[str]) -> str:
    shown = ", ".join(names[:_NUM_NAMED])
    more = f" and {len(names) - _NUM_NAMED} more" if len(names) > _NUM_NAMED else ""
    return f"{len(names)} run folder{'s' if len(names) > 1 else ''}: {shown}{more}"
