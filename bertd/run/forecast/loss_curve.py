"""A run's validations, folded from its journal record by record. Pure."""

from __future__ import annotations

import math

from bertd.records import JournalRecord, Record, RollbackRecord, StartRecord, ValidationRecord

MAX_POINTS = 256
"""When a curve has more, every second one is dropped: a law with four parameters needs no more."""


class CurvePoint(Record):
    """One validation."""

    step: int
    sequences: int
    charged_s: float
    loss: float
    """Nats."""


class LossCurve(Record):
    """The validations of a run in order of step, without those that a restart or a rollback has taken back."""

    points: tuple[CurvePoint, ...] = ()
    unigram_entropy: float = math.inf
    """Nats: what a guess by the frequency of each token loses."""

    def with_record(self, record: JournalRecord) -> LossCurve:
        """The curve after the next record of the journal."""
        match record:
            case StartRecord() | RollbackRecord():
                return self.model_copy(update={"points": self._until(record.step + 1)})
            case ValidationRecord() if record.share == 1.0 and math.isfinite(record.loss):
                point = CurvePoint(
                    step=record.step, sequences=record.sequences, charged_s=record.charged_s, loss=record.loss
                )
                points = (*self._until(record.step), point)
                if len(points) > MAX_POINTS:
                    points = (*points[:-1:2], point)
                return self.model_copy(update={"points": points, "unigram_entropy": record.unigram_entropy})
        return self

    def _until(self, step: int) -> tuple[CurvePoint, ...]:
        """The points before a step."""
        if not self.points or self.points[-1].step < step:
            return self.points
        return tuple(point for point in self.points if point.step < step)
