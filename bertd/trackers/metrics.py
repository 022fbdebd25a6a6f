"""The metrics in a journal's records, by the names that trackers show. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from bertd.records import JournalRecord, RestartRecord, RollbackRecord, StartRecord, StepRecord, ValidationRecord

PREFIXES = tuple(f'{{"kind":"{kind}"'.encode() for kind in ("step", "validation", "start", "restart", "rollback"))
"""Begin the lines of the records that have metrics, or after which steps are repeated."""

_OF_STEPS = {
    "train/loss": "loss",
    "train/lr": "lr",
    "train/grad_norm": "grad_norm",
    "train/loss_scale": "loss_scale",
    "speed/sequences_per_s": "sequences_per_s",
    "speed/tokens_per_s": "tokens_per_s",
    "speed/mfu": "mfu",
    "speed/data_wait": "data_wait",
    "device/memory_bytes": "memory_bytes",
}
"""Name to the field of a step record."""
_OF_VALIDATIONS = {"validation/loss": "loss", "validation/unigram_entropy": "unigram_entropy"}
METRICS = (*_OF_STEPS, *_OF_VALIDATIONS)
"""All names, in the order of a table's columns."""


@dataclass(frozen=True, slots=True)
class MetricRow:
    """What was measured at one step."""

    t: float
    """Unix seconds."""
    attempt: int
    """The launch of the ranks in which it was measured; steps of a later one may repeat those of an earlier one."""
    step: int
    sequences: int
    charged_s: float
    progress: float
    """Share of the budget that is spent, 0..1."""
    values: dict[str, float]
    """By name; what was not measured is left out."""


class RowReader:
    """Turns records into rows, in the order of the journal."""

    def __init__(self, *, attempt: int = 0) -> None:
        """`attempt`: the newest one so far."""
        self.attempt = attempt

    def read(self, record: JournalRecord) -> MetricRow | None:
        """The row of a record; None if it has no metrics."""
        match record:
            case StartRecord():
                self.attempt = record.attempt
                return None
            case StepRecord():
                return self._row(record, _OF_STEPS)
            case ValidationRecord():
                return self._row(record, _OF_VALIDATIONS)
            case _:
                return None

    def _row(self, record: StepRecord | ValidationRecord, fields: dict[str, str]) -> MetricRow:
        measured = ((name, getattr(record, field)) for name, field in fields.items())
        return MetricRow(
            t=record.t,
            attempt=self.attempt,
            step=record.step,
            sequences=record.sequences,
            charged_s=record.charged_s,
            progress=record.progress,
            values={name: float(value) for name, value in measured if value is not None},
        )


def repeated_after(record: JournalRecord) -> int | None:
    """The step after which steps are done again, of a record that says so."""
    match record:
        case RestartRecord():
            return record.from_step
        case RollbackRecord():
            return record.step
        case _:
            return None
