"""Judges each loss that is read, tells somebody where it is wrong, and raises where the recipe wants to go back.

One that creeps up within its band is told and no more: when it began to go wrong, nobody can say.

The loss is a sum over all ranks, so every rank judges alike; rank 0, which has the desk, tells.
"""

from __future__ import annotations

import math

from bertd.errors import NumericsError
from bertd.run.recipe import StopSection
from bertd.train.checkpoint import TrainingState
from bertd.train.desk import Desk
from bertd.train.spikes import BandState, Height, LossBand

_REMEDY = "stop the run and submit it with a lower optimizer.peak_lr or with optimizer.clip"


class LossWentWrongError(NumericsError):
    """The loss is not finite or jumped; raised on every rank at the same step."""

    code = "loss_not_finite"
    """Of the alert that tells of it."""


class SpikeError(LossWentWrongError):
    """It jumped, and the recipe wants to go back then."""

    code = "loss_spike"


class LossWatch:
    """From a state's band on; after a rollback another watch takes over."""

    def __init__(self, state: TrainingState, *, rules: StopSection, vocab_size: int, desk: Desk | None) -> None:
        self._rules = rules
        self._desk = desk
        self._band = LossBand(state.band, vocab_size=vocab_size)
        self._height = Height.INSIDE
        """Of the newest loss."""
        self.sound_step = state.step
        """Steps done when the loss was last known to be right."""

    @property
    def band(self) -> BandState:
        """For a checkpoint."""
        return self._band.state

    def require_finite(self, loss: float, *, step: int) -> None:
        """What is not finite is never reported as a loss nor saved.

        Raises:
            LossWentWrongError: it is not.
        """
        if not math.isfinite(loss):
            raise LossWentWrongError(f"step {step}: the loss is {loss}")

    def check_saved(self, loss: float, *, step: int) -> None:
        """A loss that is read for a checkpoint's sake: one inside the band makes it a step to go back to.

        Raises:
            LossWentWrongError: it is not finite.
        """
        self.require_finite(loss, step=step)
        if loss <= self._band.top:
            self.sound_step = step

    def judge(self, loss: float, state: TrainingState) -> None:
        """Where the loss has risen out of its band, tell somebody and do what the recipe says: once, until it is back.

        Raises:
            SpikeError: it says to go back; who does tells.
        """
        top, before = self._band.top, self._height
        self._height = self._band.judge(loss)
        if self._height is Height.INSIDE:
            self.sound_step = state.step
            if self._band.begins_to_stand_high(loss) and self._desk is not None:
                self._tell_rise(self._desk, state)
        if self._height <= before:
            return
        told = f"jumped to {loss:.3f}, its band ended at {top:.3f}"
        if self._height is Height.DIVERGED:
            told = f"is {loss:.3f}, above twice what a blind guess costs, {self._band.ceiling:.3f}"
        what = f"step {state.step}: the loss {told}"
        if self._rules.on_spike == "rollback":
            raise SpikeError(what)
        if self._desk is not None:
            self._tell(self._desk, what, state)

    def _tell_rise(self, desk: Desk, state: TrainingState) -> None:
        mean, lowest = self.band.mean, self.band.lowest
        what = f"step {state.step}: the loss stands at {mean:.3f} (running mean), and was {lowest:.3f} at its lowest"
        desk.alert(state, code="loss_rising", message=f"{what}; if it goes on rising, {_REMEDY}")

    def _tell(self, desk: Desk, what: str, state: TrainingState) -> None:
        desk.alert(state, code="loss_spike", message=f"{what}; if it stays up, {_REMEDY}")
        if self._rules.on_spike == "hold":
            desk.conductor.hold(what)
        elif self._rules.on_spike == "stop":
            desk.conductor.stop(what)
