"""Fold one job's journal as it grows: its summary, its curves, and the number of each record."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bertd.daemon.metrics.follower_state import FollowerState, read_follower_state, store_follower_state
from bertd.metrics.curves import RunCurves
from bertd.metrics.journal_summary import JournalSummary, fold, fold_steps
from bertd.records import (
    BudgetRecord,
    DevicesRecord,
    JournalRecord,
    RollbackRecord,
    StartRecord,
    StepRecord,
    ValidationRecord,
)
from bertd.run.journal import JournalReader
from bertd.run.journal_digest import hash_tail
from bertd.run.paths import RunPaths
from bertd.run.recipe.schema import Recipe

_PIECE_BYTES = 1 << 16
"""Of the journal, read and folded in a few milliseconds, during which no request is served."""
_STORE_EVERY_BYTES = 16 << 20
"""Of the journal: some hours of a run, and a second or two to read again."""


@dataclass(frozen=True, slots=True)
class NumberedRecord:
    """A record with its place in the journal."""

    number: int
    """From 1."""
    record: JournalRecord


class MetricsFollower:
    """Folds one job's journal from its begin, or from where its stored state ends."""

    def __init__(self, folder: Path, *, recipe: Recipe | None, journal_seen: int = 0, step_bytes: int = 0) -> None:
        """Begin.

        Args:
            recipe: None for a job without curves.
            step_bytes: fold one step record in each so many bytes, for a report; records are then not numbered as in
                the journal, and the state must not be stored.
            journal_seen: number of the newest record that is in the queue as an event; later events are given again.
        """
        self._paths = RunPaths(folder)
        state = _read_state(self._paths, recipe, journal_seen=journal_seen)
        offset = 0 if state is None else state.offset
        damaged = 0 if state is None else state.num_damaged_lines
        self._reader = JournalReader(
            self._paths.journal, offset=offset, num_damaged_lines=damaged, step_bytes=step_bytes
        )
        self._stored_offset = offset
        self._count = 0 if state is None else state.num_records
        self._newest_event = 0 if state is None else state.newest_event
        self.summary = JournalSummary() if state is None else state.summary
        stored = None if state is None else state.curves
        self.curves = RunCurves(recipe.granted, stored) if recipe is not None else None

    @property
    def journal(self) -> Path:
        return self._paths.journal

    @property
    def offset(self) -> int:
        """Bytes of the journal that were read."""
        return self._reader.offset

    @property
    def num_damaged_lines(self) -> int:
        """Complete lines so far that are not a record of a known kind."""
        return self._reader.num_damaged_lines

    def follow(self, *, limit_bytes: int | None = None) -> list[NumberedRecord]:
        """Fold the next piece of the journal, of 64 KiB by default, and return its records; none at the end."""
        offset = self.offset
        records = self._reader.read_piece(limit_bytes=limit_bytes or _PIECE_BYTES)
        numbered_records = [
            NumberedRecord(self._count + place, record) for place, record in enumerate(records, start=1)
        ]
        steps: list[StepRecord] = []
        for entry in numbered_records:
            if isinstance(entry.record, StepRecord):
                steps.append(entry.record)
                continue
            self._fold_steps(steps, offset=offset)
            steps = []
            self._fold_event(entry, offset=offset)
        self._fold_steps(steps, offset=offset)
        self._count += len(records)
        return numbered_records

    def _fold_steps(self, records: list[StepRecord], *, offset: int) -> None:
        if records:
            self.summary = fold_steps(self.summary, records)
            if self.curves is not None:
                self.curves.add_steps(records, offset=offset)

    def _fold_event(self, entry: NumberedRecord, *, offset: int) -> None:
        self.summary = fold(self.summary, entry.record)
        self._newest_event = entry.number
        if self.curves is not None and isinstance(
            entry.record, ValidationRecord | StartRecord | BudgetRecord | DevicesRecord | RollbackRecord
        ):
            self.curves.add(entry.record, offset=offset)

    def store(self, *, is_over: bool = False) -> None:
        """Store the state if much was read since the last time; `is_over`: if more than a piece was."""
        read_bytes = self.offset - self._stored_offset
        if self.curves is None or read_bytes < (_PIECE_BYTES if is_over else _STORE_EVERY_BYTES):
            return
        self._stored_offset = self.offset
        state = FollowerState(
            offset=self.offset,
            tail_sha256=hash_tail(self._paths.journal, end=self.offset),
            num_records=self._count,
            num_damaged_lines=self._reader.num_damaged_lines,
            newest_event=self._newest_event,
            summary=self.summary,
            curves=self.curves.state(),
        )
        store_follower_state(self._paths.curves, state)


def _read_state(paths: RunPaths, recipe: Recipe | None, *, journal_seen: int) -> FollowerState | None:
    if recipe is None:
        return None
    state = read_follower_state(paths.curves, journal=paths.journal, journal_seen=journal_seen)
    return state if state is not None and state.curves.unit is recipe.granted.unit else None
