"""What is carried over from runs that are over, because the curve of a run cannot show it in time. Pure."""

from __future__ import annotations

import math

from bertd.records import Record


class ErrorQuantile(Record):
    """How far forecasts were off at one share of the budget."""

    progress: float
    """Of the schedule, 0..1."""
    error: float
    """Share of the final loss: four of five forecasts of recorded runs were off by less."""


class ForecastPrior(Record):
    """What is known of the law before a run has shown it."""

    memory_steps: float
    """Steps over which a fall of the learning rate takes effect."""
    gain: float
    """C: what the whole fall of the rate is worth, nats."""
    gain_spread: float
    """Its standard deviation over runs, nats."""
    exponent: float
    """a"""
    exponent_spread: float
    """Standard deviation of its logarithm."""
    noise: float
    """By how much a validation is off the law, as a share of the loss."""
    errors: tuple[ErrorQuantile, ...]
    """In rising order of progress, at least one."""
    basis: str
    """Which runs these values come from, for people."""

    def penalty(self, *, exponent: float, gain: float) -> float:
        """Minus the log of how likely a law with these two is."""
        exponent_deviation = math.log(exponent / self.exponent) / self.exponent_spread
        gain_deviation = (gain - self.gain) / self.gain_spread
        return (exponent_deviation**2 + gain_deviation**2) / 2

    def error_at(self, progress: float) -> float:
        """The error that four of five forecasts stay below, as a share of the loss, between the recorded shares along
        a straight line."""
        before = self.errors[0]
        for after in self.errors:
            if progress <= after.progress:
                if after.progress == before.progress:
                    return after.error
                place = (progress - before.progress) / (after.progress - before.progress)
                return before.error + place * (after.error - before.error)
            before = after
        # To nothing at the end, where the forecast is the measurement.
        place = (progress - before.progress) / (1.0 - before.progress) if before.progress < 1.0 else 0.0
        return before.error * max(0.0, 1.0 - place)
