"""The two areas under the learning rate on which the law of the loss depends."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bertd.run.learning_rate import learning_rate_factor
from bertd.run.recipe.schema import ScheduleSection

_PIECES = 16
"""Straight pieces that stand for the schedule between two positions."""


@dataclass(frozen=True)
class Position:
    """A place on the schedule."""

    step: float
    progress: float
    """Of the schedule, 0..1; see bertd.run.budget."""


@dataclass(frozen=True)
class RateAreas:
    """What the learning rate has done up to a step."""

    steps: float
    """S: the sum of the rates of all steps, as a share of the peak rate; a step at the peak rate counts 1."""
    drop: float
    """D, 0..1: by how much the rate has fallen since its peak, as a share of it. A fall takes effect over the steps
    after it: of one that is n steps ago the share 1 - exp(-n / memory_steps) counts. This is the second area of Tissue
    et al. divided by its greatest value, with their momentum equal to exp(-1 / memory_steps)."""


def rate_areas(positions: Sequence[Position], schedule: ScheduleSection, *, memory_steps: float) -> Iterator[RateAreas]:
    """The areas at each of some positions, in rising order of step; before the first one the rate is taken to be
    along a straight line from the run's begin. Yields one result for each position."""
    steps = fallen = pending = 0.0
    before = Position(0.0, 0.0)
    for position in positions:
        num_pieces = _PIECES if position.step > before.step else 0
        for piece in range(num_pieces):
            width = (position.step - before.step) / _PIECES
            begin, end = (
                learning_rate_factor(schedule, progress=_between(before, position, (piece + place) / _PIECES))
                for place in (0, 1)
            )
            steps += width * (begin + end) / 2
            drop = max(0.0, begin - end)
            fallen += drop
            kept = math.exp(-width / memory_steps)
            pending = pending * kept + drop * (1.0 - kept) * memory_steps / width
        yield RateAreas(steps, fallen - pending)
        before = position


def _between(before: Position, after: Position, share: float) -> float:
    return before.progress + share * (after.progress - before.progress)
