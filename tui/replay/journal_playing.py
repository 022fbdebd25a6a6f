"""Fold a journal up to a time of its run: summary, curves, events and state, as the daemon had them then.

To go back, the journal is folded again from its begin. Of a very long one only some steps are parsed, so that this
takes seconds.
"""

from __future__ import annotations

import math
from collections import deque

from bertd.api.models import EventView
from bertd.errors import RunFolderError
from bertd.metrics.curves import RunCurves
from bertd.metrics.event_text import event_text
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
from tui.replay.recorded_run import RecordedRun
from tui.replay.run_state import RunState, state_after

_PIECE_BYTES = 1 << 16
_MAX_WHOLE_BYTES = 48 << 20
"""Of a journal of which every step is parsed: a day of a record a second, and more."""
_MAX_STEPS = 80_000
"""Parsed of a longer one, about."""
MAX_EVENTS = 1000
"""The newest, as the daemon gives them."""


class JournalPlaying:
    """A journal that was folded up to some time."""

    def __init__(self, run: RecordedRun) -> None:
        self._run = run
        try:
            size_bytes = run.journal.stat().st_size
        except OSError as error:
            raise RunFolderError(f"{run.journal}: cannot read the journal: {error.strerror}") from error
        step_bytes = 0 if size_bytes <= _MAX_WHOLE_BYTES else size_bytes // _MAX_STEPS
        self._reader = JournalReader(run.journal, step_bytes=step_bytes)
        self._unfolded: deque[JournalRecord] = deque()
        self._num_damaged_lines = 0
        self._num_events = 0
        self.folded_t = -math.inf
        """All up to this time is folded."""
        self.summary = JournalSummary()
        self.curves = RunCurves(run.recipe.granted)
        self.state = RunState()
        self.events: deque[EventView] = deque(maxlen=MAX_EVENTS)

    def advance(self, until_t: float, *, is_end: bool) -> bool:
        """Fold a piece of what was recorded up to this time; return whether there may be more.

        Args:
            is_end: it is the end of the journal: fold all, also what a clock that was set back has put after it.

        Raises:
            RunFolderError: the journal cannot be read.
        """
        if not self._unfolded:
            offset = self._reader.offset
            self._unfolded.extend(self._reader.read_piece(limit_bytes=_PIECE_BYTES))
            self._report_damage(until_t)
            if self._reader.offset == offset:
                self.folded_t = until_t
                return False
        steps: list[StepRecord] = []
        while self._unfolded and (is_end or self._unfolded[0].t <= until_t):
            record = self._unfolded.popleft()
            if isinstance(record, StepRecord):
                steps.append(record)
                continue
            self._fold_steps(steps)
            steps = []
            self._fold_event(record)
        self._fold_steps(steps)
        if self._unfolded:
            self.folded_t = until_t
        return not self._unfolded

    def _fold_steps(self, records: list[StepRecord]) -> None:
        if records:
            self.summary = fold_steps(self.summary, records)
            self.curves.add_steps(records)

    def _fold_event(self, record: JournalRecord) -> None:
        self.summary = fold(self.summary, record)
        self.state = state_after(self.state, record)
        if isinstance(record, ValidationRecord | StartRecord | BudgetRecord | DevicesRecord | RollbackRecord):
            self.curves.add(record)
        self._add_event(record.t, record.kind, event_text(record), record.model_dump(mode="json"))

    def _report_damage(self, t: float) -> None:
        num_more = self._reader.num_damaged_lines - self._num_damaged_lines
        self._num_damaged_lines += num_more
        if num_more:
            self._add_event(t, "journal", f"{num_more} damaged lines of the journal are left out", {})

    def _add_event(self, t: float, type: str, text: str, data: dict[str, object]) -> None:
        self._num_events += 1
        run = self._run
        self.events.append(
            EventView(
                id=self._num_events,
                t=t,
                type=type,
                job_id=run.job_id,
                run_id=run.id,
                text=f"{run.id}: {text}",
                data=data,
            )
        )
