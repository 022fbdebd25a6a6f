"""Progress of a finetuning: its updates as journal records, one per second and one per epoch at most."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Literal

from bertd.errors import BertdError
from bertd.records import AlertRecord, StepRecord
from bertd.run.journal import JournalWriter

_RECORD_EVERY_S = 1.0


@dataclass(frozen=True)
class UpdateFigures:
    """Figures of one update."""

    step: int
    """From 1."""
    loss: float
    grad_norm: float
    """Before clipping; infinite or NaN where an update in fp16 was skipped."""
    loss_scale: float | None
    """fp16 only."""


@dataclass(frozen=True)
class ReadFigures:
    """What was read from the device."""

    mean_loss: float
    """Over the updates since the last read."""
    newest: UpdateFigures
    diverged: UpdateFigures | None
    """The first update ever whose loss or gradient was not finite; in fp16, the gradient at any loss scale."""


class ProgressJournal:
    """Counts updates and writes them to the journal, one record per second and one per epoch at most."""

    def __init__(self, journal: JournalWriter, *, began_s: float) -> None:
        self._journal = journal
        self._began_s = began_s
        self._last_record_s = time.monotonic()
        self._examples = 0
        self._positions = 0
        self._training_began_s = self._began_s
        self.training_s = 0.0
        """Time in updates, of this attempt: without reading, tokenizing and evaluating."""
        self.step = 0
        """Updates done."""
        self.examples = 0
        """Examples read so far, over all epochs."""

    def resume(self, *, step: int, examples: int, elapsed_s: float) -> None:
        """Continue after the updates and the running time of earlier attempts."""
        self.step, self.examples = step, examples
        self._began_s -= elapsed_s

    def elapsed_s(self) -> float:
        """Seconds since the job began, without the time between attempts."""
        return time.monotonic() - self._began_s

    def begin_training(self) -> None:
        """From now on time is spent in updates."""
        self._training_began_s = time.monotonic()

    def end_training(self) -> None:
        """Until now it was."""
        self.training_s += time.monotonic() - self._training_began_s

    def count_update(self, step: int, *, num_examples: int, num_positions: int) -> None:
        """Count update number `step`, from 1; positions are the tokens in the batch, padding included."""
        self.step = step
        self.examples += num_examples
        self._examples += num_examples
        self._positions += num_positions

    def is_report_due(self, num_steps: int) -> bool:
        """Whether a second has passed since the last report, or the last update is done."""
        return time.monotonic() - self._last_record_s >= _RECORD_EVERY_S or self.step == num_steps

    def report(self, figures: ReadFigures, *, lr: float, num_steps: int) -> None:
        """Write the figures of the updates since the last report to the journal."""
        now_s = time.monotonic()
        seconds = max(now_s - self._last_record_s, 1e-9)
        self._journal.append(
            StepRecord(
                t=time.time(),
                step=self.step,
                sequences=self.examples,
                charged_s=self.elapsed_s(),
                progress=self.step / num_steps,
                loss=figures.mean_loss,
                lr=lr,
                grad_norm=figures.newest.grad_norm,
                loss_scale=figures.newest.loss_scale,
                sequences_per_s=self._examples / seconds,
                tokens_per_s=self._positions / seconds,
            )
        )
        self._last_record_s, self._examples, self._positions = now_s, 0, 0

    def warn(self, code: str, message: str) -> None:
        """Print a warning and write it to the journal; the job continues."""
        print(message, flush=True)
        self._alert("warning", code, message)

    def report_failure(self, error: BertdError) -> None:
        """Write the error that ends the job to the journal."""
        self._alert("error", type(error).__name__, str(error))

    def _alert(self, level: Literal["warning", "error"], code: str, message: str) -> None:
        self._journal.append(AlertRecord(t=time.time(), step=self.step, level=level, code=code, message=message))
