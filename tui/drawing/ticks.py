"""Axis scales, positions of their ticks, and tick labels."""

from __future__ import annotations

import math
from dataclasses import dataclass

_PARTS = 8
"""A scale's ends are rounded to multiples of about its range divided by this."""
_ZERO_BELOW = 1e-12
"""Values below this count as zero."""
_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True)
class Scale:
    """Maps values to 0..1 along an axis."""

    low: float
    high: float
    is_log: bool = False

    def share(self, value: float) -> float:
        """Position on the axis: 0 at `low`, 1 at `high`, not clamped. NaN where the logarithm is undefined."""
        if self.is_log:
            if value <= 0:
                return math.nan
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def ticks(self, num_ticks: int) -> list[float]:
        """About `num_ticks` round values within the scale, ascending."""
        if self.is_log and self.high / self.low >= 10:
            return self._decades(num_ticks)
        step = round_step((self.high - self.low) / max(1, num_ticks))
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return [number * step for number in range(first, last + 1)]

    def _decades(self, num_ticks: int) -> list[float]:
        low, high = math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9)
        decades = [10.0**exponent for exponent in range(low, high + 1)]
        if len(decades) * 3 > num_ticks:
            every = -(-len(decades) // max(1, num_ticks))
            return decades[::every]
        finer = [digit * 10.0**exponent for exponent in range(low - 1, high + 1) for digit in (1, 2, 5)]
        return [value for value in finer if self.low * (1 - 1e-9) <= value <= self.high * (1 + 1e-9)]


def round_step(rough: float) -> float:
    """Round `rough` up to 1, 2, 2.5 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(rough))
    return power * next(step for step in _STEPS if step * power >= rough * (1 - 1e-9))


def linear_scale(values: list[float], *, from_zero: bool = False) -> Scale:
    """A scale that covers the finite values.

    Its ends are round numbers, so that the scale, and so every cell of the chart, stays the same while values drift.
    """
    finite = [value for value in values if math.isfinite(value)] or [0.0, 1.0]
    low, high = min(finite), max(finite)
    if from_zero and low >= 0:
        low = 0.0
    size = max(abs(low), abs(high))
    if high - low <= 1e-6 * size or size < _ZERO_BELOW:
        high = low + (0.1 * size if size >= _ZERO_BELOW else 1.0)
    step = round_step((high - low) / _PARTS)
    return Scale(math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step)


def log_scale(values: list[float]) -> Scale:
    """A logarithmic scale that covers the positive values."""
    positive = [value for value in values if math.isfinite(value) and value > 0] or [1.0, 10.0]
    logs = linear_scale([math.log(value) for value in positive])
    return Scale(math.exp(logs.low), math.exp(logs.high), is_log=True)


def labels(ticks: list[float]) -> list[str]:
    """Ticks as text, with enough decimals to distinguish them."""
    if not ticks:
        return []
    largest = max(abs(tick) for tick in ticks)
    if largest and (largest < 1e-2 or largest >= 1e5):
        return [_scientific(tick) for tick in ticks]
    steps = [abs(after - before) for before, after in zip(ticks, ticks[1:], strict=False)] or [largest or 1.0]
    smallest = min(steps)
    decimals = next((d for d in range(4) if abs(smallest * 10**d - round(smallest * 10**d)) < 1e-6), 4)
    return [f"{tick:,.{decimals}f}" for tick in ticks]


def _scientific(value: float) -> str:
    if value == 0:
        return "0"
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{mantissa.removesuffix('.0')}e{int(exponent)}"
