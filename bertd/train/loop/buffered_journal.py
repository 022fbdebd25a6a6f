"""The journal as rank 0 writes it: a disk that refuses for a while stops no training.

Steps that the disk refused are gone, and counted; other records wait in memory, in order, and are written once there is
room. Only what ends an attempt must be on the disk when it is said: the runner goes by it.
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
"""Records that wait; what comes behind them is lost too, and counted."""
_MUST_BE_WRITTEN = (StartRecord, StateRecord, EndRecord)


class RecordSink(Protocol):
    """Where records go."""

    def append(self, record: JournalRecord) -> None:
        """Take a record."""
        ...

    def close(self) -> None:
        """Take no more."""
        ...


class NoJournal:
    """The journal of ranks other than the first, which write none."""

    def append(self, record: JournalRecord) -> None:
        pass

    def close(self) -> None:
        pass


class BufferedJournalWriter:
    """Appends; raises only where an attempt begins or ends."""

    def __init__(self, journal: JournalWriter) -> None:
        self._journal = journal
        self._buffered: deque[JournalRecord] = deque()
        self._num_lost = 0
        self._last_error = ""

    def append(self, record: JournalRecord) -> None:
        """Write what waits and then the record, or keep it.

        Raises:
            StorageError: the disk refused a start, a pause or an end.
        """
        try:
            self._flush()
            self._journal.append(record)
        except StorageError as error:
            if isinstance(record, _MUST_BE_WRITTEN):
                raise
            self._buffer_record(record, error)

    def close(self) -> None:
        """Flush what the disk takes, and close."""
        try:
            self._flush()
        except StorageError as error:
            log_line(f"bertd: {len(self._buffered)} records of the journal are lost: {error}")
        self._journal.close()

    def _buffer_record(self, record: JournalRecord, error: StorageError) -> None:
        if not self._last_error:
            log_line(f"bertd: {error}; training goes on")
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
