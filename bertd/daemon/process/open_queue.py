"""Open the queue; if it is damaged or of a newer bertd, open what can be read of it, and change nothing."""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bertd.errors import UnreadableQueueError
from bertd.jobs.store.database import Database
from bertd.jobs.store.event_log import EventLog
from bertd.jobs.store.salvage import salvage
from bertd.records import AlertRecord

logger = logging.getLogger(__name__)


@contextmanager
def open_queue(path: Path) -> Iterator[tuple[Database, str | None]]:
    """The queue while the daemon runs, and why it must change nothing; None if it may.

    Raises:
        UnreadableQueueError: not a single job can be read.
        DaemonError: it is a link, not a file, or cut short.
        StorageError: it cannot be opened, created or upgraded.
    """
    # Not below the state folder, whose disk may be what is at fault.
    with tempfile.TemporaryDirectory(prefix="bertd-salvaged-") as folder:
        database, read_only = _open(path, folder=Path(folder))
        try:
            yield database, read_only
        finally:
            database.close()


def _open(path: Path, *, folder: Path) -> tuple[Database, str | None]:
    try:
        return Database(path), None
    except UnreadableQueueError as error:
        salvaged = salvage(path, folder=folder)
        if salvaged is None:
            raise
        message = str(error)
    logger.error("read-only: %s; what could be read of it is served", message)
    _report(message, database=salvaged)
    return salvaged, message


def _report(message: str, *, database: Database) -> None:
    now = time.time()
    record = AlertRecord(t=now, step=0, level="error", code="read_only", message=f"the daemon is read-only: {message}")
    with database.transaction():
        EventLog(database).append(
            record.kind, record.message, now=now, job_id=None, run_id=None, data=record.model_dump(mode="json")
        )
