"""Notices a loss that jumps out of its running band, or that no training has.

The band is an exponential mean of the reported losses and of their distance from it. It follows a loss that falls, and
judges by itself only when it has seen enough; a jump does not widen the band that it is judged by. A run that diverges
from its first steps takes the band along, so the band ends at a ceiling: twice what a blind guess costs, ln V, where
losses begin. Below it a loss that creeps up shows by its mean, which then stands well above the lowest it had.
"""

from __future__ import annotations

import math
from enum import IntEnum

from bertd.records import Record

_DECAY = 0.9
_WIDTH = 6.0
"""Mean distances from the mean that are still inside: about five standard deviations of a normal loss."""
_MIN_DISTANCE = 0.02
"""Nats. Where the loss hardly moves, a breath is no spike."""
_MIN_LOSSES = 10
"""Losses before the band judges."""
_RISE = 1.0
"""Nats of the mean above its lowest: no noise moves a mean so far, and a run that lost so much has gone wrong."""
_CEILING_FACTOR = 2.0
"""Times ln V. Small weights begin at ln V and a little, since their logits are nearly equal."""


class LossVerdict(IntEnum):
    """Where a loss lies; rising."""

    NORMAL = 0
    SPIKE = 1
    """Out of the band; it may come back by itself."""
    DIVERGED = 2
    """Above the ceiling."""


class SpikeDetectorState(Record):
    """What a checkpoint keeps of a band."""

    seen: int
    mean: float
    distance: float
    lowest: float = math.inf
    """The lowest mean since the band judges."""
    has_risen: bool = False
    """The mean stands well above that, and it was said."""


class SpikeDetector:
    """The recent losses of a run."""

    def __init__(self, state: SpikeDetectorState | None = None, *, vocab_size: int) -> None:
        """Go on from `state`; None begins a band."""
        self.ceiling = _CEILING_FACTOR * math.log(vocab_size)
        self._seen = state.seen if state else 0
        self._mean = state.mean if state else 0.0
        self._distance = state.distance if state else 0.0
        self._lowest = state.lowest if state else math.inf
        self._has_risen = state.has_risen if state else False

    @property
    def state(self) -> SpikeDetectorState:
        """From which another band goes on as this one would."""
        return SpikeDetectorState(
            seen=self._seen,
            mean=self._mean,
            distance=self._distance,
            lowest=self._lowest,
            has_risen=self._has_risen,
        )

    @property
    def upper_bound(self) -> float:
        """Largest loss that is still inside, in nats."""
        if self._seen < _MIN_LOSSES:
            return self.ceiling
        return min(self.ceiling, self._mean + _WIDTH * max(self._distance, _MIN_DISTANCE))

    def judge(self, loss: float) -> LossVerdict:
        """Say where a loss lies, and take it in if it is inside."""
        if loss > self.upper_bound:
            # Half a step: a loss that stays up there becomes the new normal after a few reports, below the ceiling.
            self._mean += (1 - _DECAY) / 2 * (loss - self._mean)
            return LossVerdict.DIVERGED if loss > self.ceiling else LossVerdict.SPIKE
        if self._seen == 0:
            self._mean = loss
        self._distance = _DECAY * self._distance + (1 - _DECAY) * abs(loss - self._mean)
        self._mean = _DECAY * self._mean + (1 - _DECAY) * loss
        self._seen += 1
        return LossVerdict.NORMAL

    def detect_rise(self, loss: float) -> bool:
        """Whether the mean, with the newest loss, stands well above its lowest: true once, until it came half back."""
        if self._seen < _MIN_LOSSES:
            return False
        self._lowest = min(self._lowest, self._mean)
        # To begin with the loss as well: a spike that mended itself leaves the mean behind.
        had_risen = self._has_risen
        rise = (self._mean if had_risen else min(loss, self._mean)) - self._lowest
        self._has_risen = rise > (_RISE / 2 if had_risen else _RISE)
        return self._has_risen and not had_risen
