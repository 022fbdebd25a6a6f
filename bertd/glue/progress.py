"""Progress of a finetuning: its updates as journal records, at most one per second."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Literal

from bertd.errors import BertdError
from bertd.records import AlertRecord, StepRecord
from bertd.run.journal import JournalWriter

_RECORD_EVERY_S = 1.0


@dataclass(frozen=True)
class UpdateStats:
    """Figures of one optimizer update."""

    step: int
    """From 1."""
    num_steps: int
    num_examples: int
    num_positions: int
    """Tokens in the batch, padding included."""
    loss: float
    lr: float
    grad_norm: float
    """Before clipping; infinite or NaN where an update in fp16 was skipped."""
    loss_scale: float | None
    """fp16 only."""


class ProgressJournal:
    """Counts updates and writes them to the journal, at most one record per second."""

    def __init__(self, journal: JournalWriter, *, began_s: float) -> None:
        self._journal = journal
        self._began_s = began_s
        self._last_record_s = time.monotonic()
        self._losses: list[float] = []
        self._examples = 0
        self._positions = 0
        self.step = 0
        self.examples = 0
        """Examples read so far, over all epochs."""

    def elapsed_s(self) -> float:
        """Seconds since the job began."""
        return time.monotonic() - self._began_s

    def record_update(self, update: UpdateStats) -> None:
        """Count one update; write a record if a second has passed, and for the last update."""
        self.step = update.step
        self.examples += update.num_examples
        self._examples += update.num_examples
        self._positions += update.num_positions
        self._losses.append(update.loss)
        now_s = time.monotonic()
        if now_s - self._last_record_s < _RECORD_EVERY_S and update.step < update.num_steps:
            return
        seconds = max(now_s - self._last_record_s, 1e-9)
        self._journal.append(
            StepRecord(
                t=time.time(),
                step=update.step,
                sequences=self.examples,
                charged_s=self.elapsed_s(),
                progress=update.step / update.num_steps,
                loss=sum(self._losses) / len(self._losses),
                lr=update.lr,
                grad_norm=update.grad_norm,
                loss_scale=update.loss_scale,
                sequences_per_s=self._examples / seconds,
                tokens_per_s=self._positions / seconds,
            )
        )
        self._last_record_s, self._losses, self._examples, self._positions = now_s, [], 0, 0

    def warn(self, code: str, message: str) -> None:
        """Print a warning and write it to the journal; the job continues."""
        print(message, flush=True)
        self._alert("warning", code, message)

    def report_failure(self, error: BertdError) -> None:
        """Write the error that ends the job to the journal."""
        self._alert("error", type(error).__name__, str(error))

    def _alert(self, level: Literal["warning", "error"], code: str, message: str) -> None:
        self._journal.append(AlertRecord(t=time.time(), step=self.step, level=level, code=code, message=message))
