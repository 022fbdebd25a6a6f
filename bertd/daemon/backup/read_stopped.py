"""Read the queue's file of a daemon that does not run, under the lock that a daemon would have."""

from __future__ import annotations

import time
from pathlib import Path

from bertd.daemon.process.state_lock import StateLock
from bertd.errors import StorageError
from bertd.jobs.store.database import Database
from bertd.jobs.store.event_log import EventLog
from bertd.jobs.store.queue import Queue
from bertd.run.paths import StatePaths


def read_stopped_queue(state_dir: Path) -> tuple[bytes, set[str]]:
    """The content of the queue's file, and the ids of the runs that may train again.

    Raises:
        DaemonBusyError: a daemon has the state folder.
        StorageError: there is no queue, or it cannot be read.
        DaemonError: it is damaged.
    """
    paths = StatePaths(state_dir)
    if not paths.queue.is_file():
        raise StorageError(f"{paths.queue}: there is no queue to back up; give its folder with --state-dir")
    lock = StateLock(paths.lock, now=time.time())
    try:
        database = Database(paths.queue)
        try:
            ids = Queue(database, EventLog(database)).unfinished_run_ids()
            return database.copy(), ids
        finally:
            database.close()
    finally:
        lock.release()
