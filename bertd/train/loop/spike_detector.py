"""Judges each loss that is read, tells somebody where it is wrong, and raises where the recipe wants to go back.

One that creeps up within its band is told and no more: when it began to go wrong, nobody can say.

The loss is a sum over all ranks, so every rank judges alike; rank 0, which has the desk, tells.
"""

from __future__ import annotations

import math

from bertd.errors import NumericsError
from bertd.run.recipe.schema import StopSection
from bertd.train.checkpoint.format import TrainState
from bertd.train.loop.reporting import Reporter
from bertd.train.loop.spikes import LossVerdict, SpikeDetector, SpikeDetectorState

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

    def __init__(self, state: TrainState, *, rules: StopSection, vocab_size: int, reporter: Reporter | None) -> None:
        self._rules = rules
        self._reporter = reporter
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
            if self._detector.detect_rise(loss) and self._reporter is not None:
                self._report_rise(self._reporter, state)
        if self._verdict <= previous:
            return
        description = f"jumped to {loss:.3f}, its band ended at {upper_bound:.3f}"
        if self._verdict is LossVerdict.DIVERGED:
            description = f"is {loss:.3f}, above twice what a blind guess costs, {self._detector.ceiling:.3f}"
        finding = f"step {state.step}: the loss {description}"
        if self._rules.on_spike == "rollback":
            raise SpikeError(finding)
        if self._reporter is not None:
            self._report_spike(self._reporter, finding, state)

    def _report_rise(self, reporter: Reporter, state: TrainState) -> None:
        mean, lowest = self.band.mean, self.band.lowest
        finding = f"step {state.step}: the loss stands at {mean:.3f} (running mean), and was {lowest:.3f} at its lowest"
        reporter.alert(state, code="loss_rising", message=f"{finding}; if it goes on rising, {_REMEDY}")

    def _report_spike(self, reporter: Reporter, finding: str, state: TrainState) -> None:
        reporter.alert(state, code="loss_spike", message=f"{finding}; if it stays up, {_REMEDY}")
        if self._rules.on_spike == "hold":
            reporter.controller.suspend(finding)
        elif self._rules.on_spike == "stop":
            reporter.controller.stop(finding)
