"""The journal writer of rank 0, which keeps training running while the disk refuses to write.

Step records that the disk refused are dropped and counted. Other records wait in memory, in order, and are written once
there is space. Only a record that begins or ends an attempt must be on disk at once, because the runner acts on it.
"""

from __future__ import annotations

import time
from collections import deque
from typing import Protocol

from bertd.errors import StorageError
from bertd.records import AlertRecord, EndRecord, JournalRecord, StartRecord, StateRecord, StepRecord
from bertd.run.journal import JournalWriter
from bertd.run.log import log_line

MAX_BUFFERED = 1_000
"""Records that may wait; any further ones are dropped and counted."""
_MUST_BE_WRITTEN = (StartRecord, StateRecord, EndRecord)


class RecordSink(Protocol):
    """The destination of journal records."""

    def append(self, record: JournalRecord) -> None: ...

    def close(self) -> None: ...


class NoJournal:
    """The journal of ranks other than the first: discards every record."""

    def append(self, record: JournalRecord) -> None:
        pass

    def close(self) -> None:
        pass


class BufferedJournalWriter:
    """Appends records; only those that begin or end an attempt raise when the disk refuses them."""

    def __init__(self, journal: JournalWriter) -> None:
        self._journal = journal
        self._buffered: deque[JournalRecord] = deque()
        self._num_lost = 0
        self._last_error = ""

    def append(self, record: JournalRecord) -> None:
        """Write the buffered records and then this one, or buffer it.

        Raises:
            StorageError: the disk refused the record of a start, a pause or an end.
        """
        try:
            self._flush()
            self._journal.append(record)
        except StorageError as error:
            if isinstance(record, _MUST_BE_WRITTEN):
                raise
            self._buffer_record(record, error)

    def close(self) -> None:
        """Flush as much as the disk accepts, and close."""
        try:
            self._flush()
        except StorageError as error:
            log_line(f"bertd: {len(self._buffered)} records of the journal are lost: {error}")
        try:
            self._journal.close()
        except StorageError as error:
            log_line(f"bertd: the journal's last lines may be lost: {error}")

    def _buffer_record(self, record: JournalRecord, error: StorageError) -> None:
        if not self._last_error:
            log_line(f"bertd: {error}; training continues")
        self._last_error = str(error)
        if isinstance(record, StepRecord) or len(self._buffered) == MAX_BUFFERED:
            self._num_lost += 1
        else:
            self._buffered.append(record)

    def _flush(self) -> None:
        while self._buffered:
            self._journal.append(self._buffered[0])
            self._buffered.popleft()
        if self._num_lost:
            message = f"{self._num_lost} records are missing here, the disk refused them: {self._last_error}"
            self._journal.append(
                AlertRecord(t=time.time(), step=0, level="warning", code="journal_gap", message=message)
            )
            self._num_lost, self._last_error = 0, ""
