"""What a runner needs to know of a run's journal: how far it came, which attempt is next, how this attempt ended.

Bounded: a day of journal is folded as it is read, and only the last records of an attempt are kept.
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
    """Rank 0 said that its work, and with it the charge, stops or goes on."""

    charged_s: float
    since_s: float | None
    """CLOCK_MONOTONIC from which on it is charged again; None where it stops."""


class AttemptFollower:
    """Follows one journal, attempt after attempt."""

    def __init__(self, paths: RunPaths) -> None:
        """Read what there is."""
        self._paths = paths
        self._reader = JournalReader(paths.journal)
        self.progress = RunProgress()
        """Of the whole journal."""
        self.attempt = 0
        """The newest attempt."""
        self.has_started = False
        """Whether its ranks have met and begun."""
        self.clock_marks: list[ClockMark] = []
        """Of this attempt, in order; whoever keeps the ledger takes them out."""
        self.recent: deque[JournalRecord] = deque(maxlen=_KEPT_RECORDS)
        """The last records since `begin_attempt`."""
        self.follow()

    def follow(self) -> None:
        """Take in what was written since."""
        for record in self._reader:
            self._take_in(record)

    def begin_attempt(self) -> int:
        """Forget the records of the attempt before, and give the number of the next."""
        self.follow()
        self.recent.clear()
        self.clock_marks.clear()
        self.has_started = False
        self.attempt += 1
        return self.attempt

    def newest_checkpoint(self) -> str | None:
        """Name of the checkpoint that an attempt would begin from."""
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
                # The attempt it announces has not begun: its number is taken when it does.
                self.attempt = max(self.attempt, record.attempt - 1)
