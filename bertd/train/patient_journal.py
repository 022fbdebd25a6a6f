"""The journal as rank 0 writes it: a disk that refuses for a while stops no training.

Steps that the disk refused are gone, and counted; other records wait in memory, in order, and are written once there is
room. Only what ends an attempt must be on the disk when it is said: the runner goes by it.
"""

from __future__ import annotations

import time
from collections import deque

from bertd.errors import StorageError
from bertd.records import AlertRecord, EndRecord, JournalRecord, StartRecord, StateRecord, StepRecord
from bertd.run.job_log import say
from bertd.run.journal import JournalWriter

MAX_WAITING = 1_000
"""Records that wait; what comes behind them is lost too, and counted."""
_MUST_BE_WRITTEN = (StartRecord, StateRecord, EndRecord)


class PatientJournal:
    """Appends; raises only where an attempt begins or ends."""

    def __init__(self, journal: JournalWriter) -> None:
        self._journal = journal
        self._waiting: deque[JournalRecord] = deque()
        self._num_lost = 0
        self._refusal = ""

    def append(self, record: JournalRecord) -> None:
        """Write what waits and then the record, or keep it.

        Raises:
            StorageError: the disk refused a start, a pause or an end.
        """
        try:
            self._write_waiting()
            self._journal.append(record)
        except StorageError as error:
            if isinstance(record, _MUST_BE_WRITTEN):
                raise
            self._keep(record, error)

    def close(self) -> None:
        """Flush what the disk takes, and close."""
        try:
            self._write_waiting()
        except StorageError as error:
            say(f"bertd: {len(self._waiting)} records of the journal are lost: {error}")
        self._journal.close()

    def _keep(self, record: JournalRecord, error: StorageError) -> None:
        if not self._refusal:
            say(f"bertd: {error}; training goes on")
        self._refusal = str(error)
        if isinstance(record, StepRecord) or len(self._waiting) == MAX_WAITING:
            self._num_lost += 1
        else:
            self._waiting.append(record)

    def _write_waiting(self) -> None:
        while self._waiting:
            self._journal.append(self._waiting[0])
            self._waiting.popleft()
        if self._num_lost:
            message = f"{self._num_lost} records are missing here, the disk refused them: {self._refusal}"
            self._journal.append(
                AlertRecord(t=time.time(), step=0, level="warning", code="journal_gap", message=message)
            )
            self._num_lost, self._refusal = 0, ""
