"""Open the queue; if it is damaged or of a newer bertd, open what can be read of it, and change nothing."""

from __future__ import annotations

import contextlib
import logging
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bertd.errors import UnreadableQueueError
from bertd.jobs.store.database import Database
from bertd.jobs.store.event_log import EventLog
from bertd.jobs.store.salvage import salvage
from bertd.records import AlertRecord

logger = logging.getLogger(__name__)


@contextlib.contextmanager
def open_queue(path: Path) -> Iterator[tuple[Database, str | None]]:
    """The queue while the daemon runs, and why it must change nothing; None if it may.

    Raises:
        UnreadableQueueError: not a single job can be read.
        DaemonError: it is a link, not a file, or cut short.
        StorageError: it cannot be opened, created or upgraded.
    """
    with contextlib.ExitStack() as stack:
        try:
            database, read_only = Database(path), None
        except UnreadableQueueError as error:
            # Not below the state folder, whose disk may be what is at fault.
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="bertd-salvaged-"))
            salvaged = salvage(path, folder=Path(folder))
            if salvaged is None:
                raise
            database, read_only = salvaged, str(error)
            logger.error("read-only: %s; what could be read of it is served", read_only)
            _report(read_only, database=database)
        stack.callback(database.close)
        yield database, read_only


def _report(message: str, *, database: Database) -> None:
    now = time.time()
    record = AlertRecord(t=now, step=0, level="error", code="read_only", message=f"the daemon is read-only: {message}")
    with database.transaction():
        EventLog(database).append(
            record.kind, record.message, now=now, job_id=None, run_id=None, data=record.model_dump(mode="json")
        )
