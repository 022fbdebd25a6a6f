"""Follow a run's journal for its runner: progress, number of the next attempt, how this attempt ended.

Memory is bounded: records are folded as they are read, and only the last ones of an attempt are kept. The journal's
digest is stored from time to time and before each attempt, so that neither ranks nor the next runner read it again.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from bertd.errors import BertdError
from bertd.records import EndRecord, JournalRecord, StartRecord, StateRecord
from bertd.run.journal import JournalReader
from bertd.run.journal_digest import DigestAt, read_digest_at, store_digest
from bertd.run.log import log_line
from bertd.run.paths import RunPaths, newest_first
from bertd.run.progress import RunProgress

_KEPT_RECORDS = 256
_STORE_EVERY_BYTES = 16 << 20
"""Of the journal: some hours of a run, and a moment to read again."""


@dataclass(frozen=True)
class ClockMark:
    """Rank 0 reported that its work, and so the charge, stops or resumes."""

    charged_s: float
    since_s: float | None
    """CLOCK_MONOTONIC at which charging begins again; None if it stops."""


class AttemptFollower:
    """Follows one journal, attempt after attempt."""

    def __init__(self, paths: RunPaths) -> None:
        self._paths = paths
        read = read_digest_at(paths.journal)
        self._digest = read.digest
        self._reader = JournalReader(paths.journal, offset=read.offset)
        self._stored_offset = 0
        self.attempt = read.digest.attempt
        """The newest attempt."""
        self.has_started = False
        """Whether its ranks have met and begun."""
        self.clock_marks: list[ClockMark] = []
        """Of this attempt, in order; the runner removes each one that it has applied to the ledger."""
        self.recent: deque[JournalRecord] = deque(maxlen=_KEPT_RECORDS)
        """The last records since `begin_attempt`."""

    @property
    def progress(self) -> RunProgress:
        """Of the whole journal."""
        return self._digest.progress

    def follow(self) -> None:
        """Read the records written since the last call."""
        for record in self._reader:
            self._take_in(record)
        if self._reader.offset - self._stored_offset >= _STORE_EVERY_BYTES:
            self._store_digest()

    def begin_attempt(self) -> int:
        """Drop the records of the last attempt and return the number of the next."""
        self.follow()
        self._store_digest()
        self.recent.clear()
        self.clock_marks.clear()
        self.has_started = False
        self.attempt += 1
        return self.attempt

    def newest_checkpoint(self) -> str | None:
        """Name of the checkpoint from which an attempt would start; None if there is none."""
        found = newest_first(self._paths.checkpoints)
        return found[0].name if found else None

    def _store_digest(self) -> None:
        """Store it; a disk that refuses it costs only the time to read the journal again."""
        if self._reader.offset == self._stored_offset:
            return
        self._stored_offset = self._reader.offset
        try:
            store_digest(self._paths.journal, DigestAt(self._digest, self._reader.offset))
        except BertdError as error:
            log_line(f"runner: {error}; the next start reads the journal again")

    def _take_in(self, record: JournalRecord) -> None:
        self._digest = self._digest.with_record(record)
        self.attempt = max(self.attempt, self._digest.attempt)
        self.recent.append(record)
        match record:
            case StateRecord() | EndRecord():
                since_s = record.monotonic_s if isinstance(record, StateRecord) else None
                self.clock_marks.append(ClockMark(charged_s=record.charged_s, since_s=since_s))
            case StartRecord():
                self.has_started = True
