"""What a runner needs to know of a run's journal: how far it came, which attempt is next, how this attempt ended.

Bounded: a day of journal is folded as it is read, and only the last records of an attempt are kept.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from bertd.records import (
    CheckpointRecord,
    CommandRecord,
    EndRecord,
    JournalRecord,
    RestartRecord,
    RollbackRecord,
    StartRecord,
    StateRecord,
    StepRecord,
)
from bertd.run.journal import JournalReader
from bertd.run.paths import RunPaths, newest_first

_CHUNK_BYTES = 1 << 20
_KEPT_RECORDS = 256


@dataclass(frozen=True)
class ClockMark:
    """Rank 0 said that its work, and with it the charge, stops or goes on."""

    charged_s: float
    since_s: float | None
    """CLOCK_MONOTONIC from which on it is charged again; None where it stops."""


class RunProgress:
    """Follows one journal."""

    def __init__(self, paths: RunPaths) -> None:
        """Read what there is."""
        self._paths = paths
        self._reader = JournalReader(paths.journal)
        self.attempt = 0
        """The newest attempt."""
        self.has_started = False
        """Whether its ranks have met and begun."""
        self.step = 0
        """The newest step; after a restart it may be below `best_step`."""
        self.best_step = 0
        self.sequences = 0
        self.acknowledged = 0
        """Number of the newest acknowledged command."""
        self.clock_marks: list[ClockMark] = []
        """Of this attempt, in order; whoever keeps the ledger takes them out."""
        self.recent: deque[JournalRecord] = deque(maxlen=_KEPT_RECORDS)
        """The last records since `begin_attempt`."""
        self.follow()

    def follow(self) -> None:
        """Take in what was written since."""
        while records := self._reader.read(limit_bytes=_CHUNK_BYTES):
            for record in records:
                self._fold(record)

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

    def _fold(self, record: JournalRecord) -> None:
        self.recent.append(record)
        if isinstance(record, StateRecord | EndRecord):
            self._append_clock_mark(record)
        match record:
            case RollbackRecord():
                self.step, self.sequences = record.step, record.sequences
            case StartRecord():
                self.has_started = True
                self.attempt = max(self.attempt, record.attempt)
                self.step, self.sequences = record.step, record.sequences
            case StepRecord() | EndRecord():
                self.step, self.sequences = record.step, record.sequences
                self.best_step = max(self.best_step, record.step)
            case CheckpointRecord():
                # Steps are told once a second; one that is saved was done, told or not.
                self.best_step = max(self.best_step, record.step)
                if record.step > self.step and record.sequences is not None:
                    self.step, self.sequences = record.step, record.sequences
            case CommandRecord():
                self.acknowledged = max(self.acknowledged, record.number)
            case RestartRecord():
                # The attempt it announces has not begun: its number is taken when it does.
                self.attempt = max(self.attempt, record.attempt - 1)

    def _append_clock_mark(self, record: StateRecord | EndRecord) -> None:
        since_s = record.monotonic_s if isinstance(record, StateRecord) else None
        self.clock_marks.append(ClockMark(charged_s=record.charged_s, since_s=since_s))
