"""Detection of loss spikes and divergence, with the reaction that the recipe asks for.

The band is the running mean of the loss plus a multiple of its mean distance from that mean. A loss above the band is a
spike, a loss above twice ln V has diverged. A mean that rises slowly within its band is only reported: when it began to
go wrong cannot be known, so there is no step to roll back to.

The loss is a sum over all ranks, so every rank comes to the same verdict; rank 0 reports it.
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
"""Upper end of the band, in mean distances from the mean: about five standard deviations of a normal distribution."""
_MIN_DISTANCE = 0.02
"""Nats. Where the loss hardly moves, a tiny change is not a spike."""
_MIN_LOSSES = 10
"""Losses before the band is used."""
_RISE = 1.0
"""Nats of the mean above its lowest that are reported: noise does not move a mean this far."""
_CEILING_FACTOR = 2.0
"""Times ln V. A model with small weights begins slightly above ln V, since its logits are nearly equal."""


class LossVerdict(IntEnum):
    """In rising order."""

    NORMAL = 0
    SPIKE = 1
    """Above the band; the loss may recover by itself."""
    DIVERGED = 2
    """Above the ceiling."""


class SpikeDetector:
    """Running statistics of a run's losses."""

    def __init__(self, state: SpikeDetectorState | None = None, *, vocab_size: int) -> None:
        """Continue from `state`; None starts without any losses."""
        self.ceiling = _CEILING_FACTOR * math.log(vocab_size)
        self._seen = state.seen if state else 0
        self._mean = state.mean if state else 0.0
        self._distance = state.distance if state else 0.0
        self._lowest = state.lowest if state else math.inf
        self._has_risen = state.has_risen if state else False

    @property
    def state(self) -> SpikeDetectorState:
        """State from which another detector continues identically."""
        return SpikeDetectorState(
            seen=self._seen,
            mean=self._mean,
            distance=self._distance,
            lowest=self._lowest,
            has_risen=self._has_risen,
        )

    @property
    def upper_bound(self) -> float:
        """Largest loss inside the band, in nats."""
        if self._seen < _MIN_LOSSES:
            return self.ceiling
        return min(self.ceiling, self._mean + _WIDTH * max(self._distance, _MIN_DISTANCE))

    def judge(self, loss: float) -> LossVerdict:
        """Classify a loss, and include it in the statistics if it is inside the band."""
        if loss > self.upper_bound:
            # Half a step: a loss that stays up there, below the ceiling, is inside the band after a few reports.
            self._mean += (1 - _DECAY) / 2 * (loss - self._mean)
            return LossVerdict.DIVERGED if loss > self.ceiling else LossVerdict.SPIKE
        if self._seen == 0:
            self._mean = loss
        self._distance = _DECAY * self._distance + (1 - _DECAY) * abs(loss - self._mean)
        self._mean = _DECAY * self._mean + (1 - _DECAY) * loss
        self._seen += 1
        return LossVerdict.NORMAL

    def detect_rise(self, loss: float) -> bool:
        """Return True once when mean and newest loss are well above the lowest mean; rearm when half of it is back."""
        if self._seen < _MIN_LOSSES:
            return False
        self._lowest = min(self._lowest, self._mean)
        # A rise also needs a high newest loss: after a spike that recovered, only the mean is still high.
        had_risen = self._has_risen
        rise = (self._mean if had_risen else min(loss, self._mean)) - self._lowest
        self._has_risen = rise > (_RISE / 2 if had_risen else _RISE)
        return self._has_risen and not had_risen


_REMEDY = "stop the run and submit it with a lower optimizer.peak_lr or with optimizer.clip"


class LossWentWrongError(NumericsError):
    """The loss is not finite or has a spike; raised on every rank at the same step."""

    code = "loss_not_finite"
    """Code of the alert that reports it."""


class SpikeError(LossWentWrongError):
    """The loss has a spike, and the recipe asks for rollback."""

    code = "loss_spike"


class LossMonitor:
    """Checks every loss that is read; after a rollback another monitor takes over."""

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
        """Verdict on the newest loss."""
        self.last_good_step = state.step
        """Steps done when the loss was last known to be good."""

    @property
    def band(self) -> SpikeDetectorState:
        """The detector's state, for a checkpoint."""
        return self._detector.state

    def require_finite(self, loss: float, *, step: int) -> None:
        """Check a loss before it is reported or saved.

        Raises:
            LossWentWrongError: it is not finite.
        """
        if not math.isfinite(loss):
            raise LossWentWrongError(f"step {step}: the loss is {loss}")

    def check_before_save(self, loss: float, *, step: int) -> None:
        """Check a loss that is read because of a save; if it is inside the band, a rollback may use this step.

        Raises:
            LossWentWrongError: it is not finite.
        """
        self.require_finite(loss, step=step)
        if loss <= self._detector.upper_bound:
            self.last_good_step = step

    def judge(self, loss: float, state: TrainState) -> None:
        """Report a loss above its band, and react as the recipe says: once, until the loss is back.

        Raises:
            SpikeError: the recipe asks for rollback; the rollback reports it.
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
        finding = f"step {state.step}: the loss is at {mean:.3f} (running mean), and was {lowest:.3f} at its lowest"
        self._reporter.alert(state, code="loss_rising", message=f"{finding}; if it keeps rising, {_REMEDY}")

    def _report_spike(self, finding: str, state: TrainState) -> None:
        self._reporter.alert(state, code="loss_spike", message=f"{finding}; if it stays up, {_REMEDY}")
        if self._rules.on_spike == "hold":
            self._controller.suspend(finding)
        elif self._rules.on_spike == "stop":
            self._controller.stop(finding)
