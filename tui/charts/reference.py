"""A curve to compare a run with, at the same share of the budget: that of another run, or of the paper."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bertd.run.amounts.durations import format_duration

if TYPE_CHECKING:
    from bertd.api.models import RunView, SeriesView


@dataclass(frozen=True)
class Reference:
    """Validation losses of something that is over, or further."""

    key: str
    """The run's id, or a name that no run has."""
    name: str
    points: tuple[tuple[float, float], ...]
    """Share of its budget and validation loss in nats, by rising share."""
    source: str = ""
    """Where published numbers are from."""

    def loss_at(self, share: float) -> float | None:
        """The loss at a share of the budget, between two points along the logarithm of the share; None outside."""
        return _interpolate(self.points, share)

    def share_of(self, loss: float) -> float | None:
        """The share of its budget at which it reached this loss; None if it never did, or had it at its first point."""
        for (before, high), (after, low) in zip(self.points, self.points[1:], strict=False):
            if low <= loss < high:
                part = (high - loss) / (high - low)
                return math.exp(math.log(before) + part * (math.log(after) - math.log(before)))
        return None


PUBLISHED = Reference(
    key="24hBERT",
    name="24hBERT",
    points=((0.05, 3.1), (4 / 24, 2.3), (8 / 24, 2.0), (1.0, 1.717)),
    source="Izsak et al. 2021: figure 2, read off at 1.2, 4 and 8 h; table 3 for the end. "
    "English Wikipedia and BookCorpus, 15 % masked",
)
"""Only a run on such text, vocabulary and masking has losses that compare with these."""


def reference_of_run(series: SeriesView, *, name: str) -> Reference:
    """Another run's validation losses.

    Args:
        series: on the axis `progress`.
    """
    points = [(x, y) for x, y in series.columns.get("validation", []) if x > 0 and math.isfinite(y)]
    return Reference(key=series.run_id, name=name, points=tuple(points))


@dataclass(frozen=True)
class Lead:
    """How far a run is ahead of a reference at its newest validation; negative: behind."""

    nats: float
    seconds: float | None
    """Charged seconds until, at its own pace, the reference would have this loss; None if it never had it."""


def find_lead(run: RunView, reference: Reference) -> Lead | None:
    """How far the run is ahead; None where the two do not have losses at the same share of the budget."""
    newest = run.validation
    if newest is None or not math.isfinite(newest.loss) or newest.progress <= 0:
        return None
    expected = reference.loss_at(newest.progress)
    if expected is None:
        return None
    reached = reference.share_of(newest.loss)
    total_s = newest.charged_s / newest.progress
    return Lead(expected - newest.loss, None if reached is None else (reached - newest.progress) * total_s)


def lead_text(lead: Lead, reference: Reference) -> str:
    """`0.053 nats and 42m 10s ahead of 24hBERT`."""
    word = "ahead of" if lead.nats >= 0 else "behind"
    if lead.seconds is None:
        never = " at any time" if lead.nats >= 0 else ""
        return f"{abs(lead.nats):.3f} nats {word} {reference.name}{never}"
    return f"{abs(lead.nats):.3f} nats and {format_duration(abs(lead.seconds))} {word} {reference.name}"


def sampled(reference: Reference, *, num_points: int) -> list[tuple[float, float]]:
    """The curve as it is interpolated, for drawing."""
    if len(reference.points) < 2 or len(reference.points) >= num_points:
        return list(reference.points)
    first, last = math.log(reference.points[0][0]), math.log(reference.points[-1][0])
    shares = [math.exp(first + (last - first) * index / num_points) for index in range(num_points)]
    samples = [(share, loss) for share in shares if (loss := reference.loss_at(share)) is not None]
    return [*samples, reference.points[-1]]


def _interpolate(points: Sequence[tuple[float, float]], share: float) -> float | None:
    for (x0, y0), (x1, y1) in zip(points, points[1:], strict=False):
        if x0 <= share <= x1:
            part = 0.0 if x1 == x0 else (math.log(share) - math.log(x0)) / (math.log(x1) - math.log(x0))
            return y0 + part * (y1 - y0)
    return None
