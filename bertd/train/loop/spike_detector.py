"""Judges each loss that is read, tells somebody where it is wrong, and raises where the recipe wants to go back.

One that creeps up within its band is told and no more: when it began to go wrong, nobody can say.

The loss is a sum over all ranks, so every rank judges alike; rank 0 reports.
"""

from __future__ import annotations

import math
from enum import IntEnum

from bertd.errors import NumericsError
from bertd.run.recipe.schema import StopSection
from bertd.train.loop.control import StepController
from bertd.train.loop.reporting import Reporter
from bertd.train.state import SpikeDetectorState, TrainState

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


_REMEDY = "stop the run and submit it with a lower optimizer.peak_lr or with optimizer.clip"


class LossWentWrongError(NumericsError):
    """The loss is not finite or jumped; raised on every rank at the same step."""

    code = "loss_not_finite"
    """Of the alert that tells of it."""


class SpikeError(LossWentWrongError):
    """It jumped, and the recipe wants to go back then."""

    code = "loss_spike"


class LossMonitor:
    """From a state's band on; after a rollback another watch takes over."""

    def __init__(
        self,
        state: TrainState,
        *,
        rules: StopSection,
        vocab_size: int,
        reporter: Reporter,
        controller: StepController,
    ) -> None:
        self._rules = rules
        self._reporter = reporter
        self._controller = controller
        self._detector = SpikeDetector(state.band, vocab_size=vocab_size)
        self._verdict = LossVerdict.NORMAL
        """Of the newest loss."""
        self.last_good_step = state.step
        """Steps done when the loss was last known to be right."""

    @property
    def band(self) -> SpikeDetectorState:
        """For a checkpoint."""
        return self._detector.state

    def require_finite(self, loss: float, *, step: int) -> None:
        """What is not finite is never reported as a loss nor saved.

        Raises:
            LossWentWrongError: it is not.
        """
        if not math.isfinite(loss):
            raise LossWentWrongError(f"step {step}: the loss is {loss}")

    def check_before_save(self, loss: float, *, step: int) -> None:
        """A loss that is read for a checkpoint's sake: one inside the band makes it a step to go back to.

        Raises:
            LossWentWrongError: it is not finite.
        """
        self.require_finite(loss, step=step)
        if loss <= self._detector.upper_bound:
            self.last_good_step = step

    def judge(self, loss: float, state: TrainState) -> None:
        """Where the loss has risen out of its band, tell somebody and do what the recipe says: once, until it is back.

        Raises:
            SpikeError: it says to go back; who does tells.
        """
        upper_bound, previous = self._detector.upper_bound, self._verdict
        self._verdict = self._detector.judge(loss)
        if self._verdict is LossVerdict.NORMAL:
            self.last_good_step = state.step
            if self._detector.detect_rise(loss):
                self._report_rise(state)
        if self._verdict <= previous:
            return
        description = f"jumped to {loss:.3f}, its band ended at {upper_bound:.3f}"
        if self._verdict is LossVerdict.DIVERGED:
            description = f"is {loss:.3f}, above twice what a blind guess costs, {self._detector.ceiling:.3f}"
        finding = f"step {state.step}: the loss {description}"
        if self._rules.on_spike == "rollback":
            raise SpikeError(finding)
        self._report_spike(finding, state)

    def _report_rise(self, state: TrainState) -> None:
        mean, lowest = self.band.mean, self.band.lowest
        finding = f"step {state.step}: the loss stands at {mean:.3f} (running mean), and was {lowest:.3f} at its lowest"
        self._reporter.alert(state, code="loss_rising", message=f"{finding}; if it goes on rising, {_REMEDY}")

    def _report_spike(self, finding: str, state: TrainState) -> None:
        self._reporter.alert(state, code="loss_spike", message=f"{finding}; if it stays up, {_REMEDY}")
        if self._rules.on_spike == "hold":
            self._controller.suspend(finding)
        elif self._rules.on_spike == "stop":
            self._controller.stop(finding)
