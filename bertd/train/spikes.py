"""Notices a loss that jumps out of its running band.

The band is an exponential mean of the reported losses and of their distance from it. It follows a loss that falls, and
says nothing until it has seen enough; a jump does not widen the band that it is judged by.
"""

from __future__ import annotations

from bertd.records import Record

_MEMORY = 0.9
_WIDTH = 6.0
"""Mean distances from the mean that are still inside: about five standard deviations of a normal loss."""
_LEAST_DISTANCE = 0.02
"""Nats. Where the loss hardly moves, a breath is no spike."""
_NEEDED = 10
"""Losses before the first judgement."""


class BandState(Record):
    """What a checkpoint keeps of a band."""

    seen: int
    mean: float
    distance: float


class LossBand:
    """The recent losses of a run."""

    def __init__(self, state: BandState | None = None) -> None:
        """Go on from `state`; None begins a band."""
        self._seen = state.seen if state else 0
        self._mean = state.mean if state else 0.0
        self._distance = state.distance if state else 0.0

    @property
    def state(self) -> BandState:
        """From which another band goes on as this one would."""
        return BandState(seen=self._seen, mean=self._mean, distance=self._distance)

    @property
    def top(self) -> float:
        """Largest loss that is still inside, in nats."""
        return self._mean + _WIDTH * max(self._distance, _LEAST_DISTANCE)

    def is_spike(self, loss: float) -> bool:
        """Judge a loss, then take it in unless it is a spike."""
        if self._seen >= _NEEDED and loss > self.top:
            # Half a step: a loss that stays up there becomes the new normal after a few reports.
            self._mean += (1 - _MEMORY) / 2 * (loss - self._mean)
            return True
        if self._seen == 0:
            self._mean = loss
        self._distance = _MEMORY * self._distance + (1 - _MEMORY) * abs(loss - self._mean)
        self._mean = _MEMORY * self._mean + (1 - _MEMORY) * loss
        self._seen += 1
        return False
