"""Totals of the fault suite over its tests, printed at the end."""

from __future__ import annotations

from dataclasses import dataclass, field

from bertd.records import (
    CheckpointRecord,
    EndRecord,
    JournalRecord,
    RestartRecord,
    StartRecord,
    StateRecord,
    StepRecord,
)


@dataclass
class Tally:
    """The totals of one session."""

    injected: int = 0
    survived: int = 0
    losses_s: list[float] = field(default_factory=list)
    """Charged seconds of training that each restart repeated."""
    ledger_errors_s: list[float] = field(default_factory=list)
    """Charged seconds that each kill of a runner lost."""
    ratio: str = ""
    """Effective training time, with the circumstances."""
    stall: str = ""
    """How long training was stopped for a checkpoint, with the circumstances."""

    def fault(self) -> None:
        """Count a fault that is about to be injected."""
        self.injected += 1

    def sound(self) -> None:
        """Report that the invariants held after all faults so far."""
        self.survived = self.injected

    def lines(self) -> list[str]:
        """The text to print at the end of the session."""
        lost = f"{max(self.losses_s):.2f} s" if self.losses_s else "not measured"
        forgotten = f"{max(self.ledger_errors_s):.2f} s" if self.ledger_errors_s else "not measured"
        return [
            f"faults injected: {self.injected}, survived: {self.survived}",
            f"worst loss of training: {lost} charged, over {len(self.losses_s)} restarts",
            f"worst ledger error: {forgotten} short, over {len(self.ledger_errors_s)} kills of a runner",
            f"effective training time: {self.ratio or 'not measured (make faults does)'}",
            f"stood still for a checkpoint: {self.stall or 'not measured (make faults does)'}",
        ]


def restarts_s(records: list[JournalRecord]) -> list[float]:
    """Seconds from each death that a runner saw to the next step, including its delay."""
    taken = []
    died_s: float | None = None
    for record in records:
        if isinstance(record, RestartRecord):
            died_s = record.t
        elif isinstance(record, StepRecord) and died_s is not None:
            taken.append(record.t - died_s)
            died_s = None
    return taken


def losses_s(records: list[JournalRecord]) -> list[float]:
    """Charged seconds between each restart's checkpoint and the last record of the attempt before."""
    saved_at = {0: 0.0}
    last_s = 0.0
    losses = []
    is_left = True
    for record in records:
        if isinstance(record, CheckpointRecord):
            saved_at[record.step] = record.charged_s
        elif isinstance(record, StartRecord) and record.attempt > 1 and not is_left:
            losses.append(max(0.0, last_s - saved_at.get(record.step, 0.0)))
        if isinstance(record, StartRecord | StepRecord | CheckpointRecord):
            last_s, is_left = record.charged_s, False
        elif isinstance(record, StateRecord | EndRecord):
            is_left = True
    return losses
