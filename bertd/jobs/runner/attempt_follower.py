"""Follow a run's journal for its runner: progress, number of the next attempt, how this attempt ended.

Memory is bounded: records are folded as they are read, and only the last ones of an attempt are kept.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from bertd.records import EndRecord, JournalRecord, RestartRecord, StartRecord, StateRecord
from bertd.run.journal import JournalReader
from bertd.run.paths import RunPaths, newest_first
from bertd.run.progress import RunProgress

_KEPT_RECORDS = 256


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
        self._reader = JournalReader(paths.journal)
        self.progress = RunProgress()
        """Of the whole journal."""
        self.attempt = 0
        """The newest attempt."""
        self.has_started = False
        """Whether its ranks have met and begun."""
        self.clock_marks: list[ClockMark] = []
        """Of this attempt, in order; the runner removes each one that it has applied to the ledger."""
        self.recent: deque[JournalRecord] = deque(maxlen=_KEPT_RECORDS)
        """The last records since `begin_attempt`."""
        self.follow()

    def follow(self) -> None:
        """Read the records written since the last call."""
        for record in self._reader:
            self._take_in(record)

    def begin_attempt(self) -> int:
        """Drop the records of the last attempt and return the number of the next."""
        self.follow()
        self.recent.clear()
        self.clock_marks.clear()
        self.has_started = False
        self.attempt += 1
        return self.attempt

    def newest_checkpoint(self) -> str | None:
        """Name of the checkpoint from which an attempt would start; None if there is none."""
        found = newest_first(self._paths.checkpoints)
        return found[0].name if found else None

    def _take_in(self, record: JournalRecord) -> None:
        self.progress = self.progress.with_record(record)
        self.recent.append(record)
        match record:
            case StateRecord() | EndRecord():
                since_s = record.monotonic_s if isinstance(record, StateRecord) else None
                self.clock_marks.append(ClockMark(charged_s=record.charged_s, since_s=since_s))
            case StartRecord():
                self.has_started = True
                self.attempt = max(self.attempt, record.attempt)
            case RestartRecord():
                # The announced attempt has not begun; `begin_attempt` takes its number.
                self.attempt = max(self.attempt, record.attempt - 1)
