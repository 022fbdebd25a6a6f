"""Fit the law L = L0 + A S^-a - C D to points of a curve, over a grid of its exponent a and its coefficient C.

For a given a and C the law is linear in L0 and A, so the best pair has a closed form: no optimizer, no start value.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bertd.run.forecast.rate_areas import RateAreas


@dataclass(frozen=True)
class AnnealingLaw:
    """One law of the loss; see bertd.run.forecast."""

    floor: float
    """L0, nats, not negative."""
    amount: float
    """A, nats times steps**a, not negative."""
    exponent: float
    """a"""
    gain: float
    """C, nats: what the whole fall of the rate from its peak to zero is worth."""

    def loss(self, areas: RateAreas) -> float:
        """Nats at a point of the schedule after the first step."""
        return self.floor + self.amount * math.pow(areas.steps, -self.exponent) - self.gain * areas.drop


@dataclass(frozen=True)
class LawFit:
    """A law, and how well it describes the points."""

    law: AnnealingLaw
    squared_error: float
    """Weighted mean over the points, nats squared."""


@dataclass(frozen=True)
class LossPoint:
    """A validation loss, and what the learning rate had done by then."""

    areas: RateAreas
    loss: float
    """Nats."""


def fit_laws(points: Sequence[LossPoint], *, exponents: Sequence[float], gains: Sequence[float]) -> Iterator[LawFit]:
    """The best law for each exponent and each gain.

    A point weighs (S / the greatest S) ** 3: the law is to hold at the end, and while the model has just begun to use
    the context the loss falls faster than any power.

    Args:
        points: at least two, at different `areas.steps`, all above 0.
    """
    last = max(point.areas.steps for point in points)
    weights = [(point.areas.steps / last) ** 3 for point in points]
    total = sum(weights)
    for exponent in exponents:
        powers = [math.pow(point.areas.steps, -exponent) for point in points]
        mean_x = sum(w * x for w, x in zip(weights, powers, strict=True)) / total
        moments = [
            _centred(weights, powers, [value(point) for point in points], mean_x, total)
            for value in (_loss_of, _drop_of)
        ]
        mean_xx = sum(w * (x - mean_x) ** 2 for w, x in zip(weights, powers, strict=True)) / total
        for gain in gains:
            heights = [point.loss + gain * point.areas.drop for point in points]
            mean_y = moments[0].mean + gain * moments[1].mean
            covariance = moments[0].covariance + gain * moments[1].covariance
            amount = max(0.0, covariance / mean_xx) if mean_xx > 0.0 else 0.0
            floor = mean_y - amount * mean_x
            if floor < 0.0:
                floor, amount = 0.0, (covariance + mean_x * mean_y) / (mean_xx + mean_x**2)
            errors = (w * (y - floor - amount * x) ** 2 for w, x, y in zip(weights, powers, heights, strict=True))
            yield LawFit(AnnealingLaw(floor, amount, exponent, gain), sum(errors) / total)


@dataclass(frozen=True)
class _Moments:
    mean: float
    covariance: float
    """With the powers of S."""


def _centred(
    weights: Sequence[float], powers: Sequence[float], values: Sequence[float], mean_x: float, total: float
) -> _Moments:
    mean = sum(w * value for w, value in zip(weights, values, strict=True)) / total
    products = (w * (x - mean_x) * (value - mean) for w, x, value in zip(weights, powers, values, strict=True))
    return _Moments(mean, sum(products) / total)


def _loss_of(point: LossPoint) -> float:
    return point.loss


def _drop_of(point: LossPoint) -> float:
    return point.areas.drop


def mix_weights(fits: Sequence[LawFit], *, penalties: Sequence[float], noise: float, num_points: int) -> list[float]:
    """Weights that sum to 1: how likely each law is after the points.

    Args:
        penalties: for each fit, minus the log of how likely its exponent and gain were before.
        noise: nats by which a point is off the law.
    """
    scores = [
        -fit.squared_error * num_points / (2 * noise**2) - penalty for fit, penalty in zip(fits, penalties, strict=True)
    ]
    best = max(scores)
    likelihoods = [math.exp(score - best) for score in scores]
    total = sum(likelihoods)
    return [likelihood / total for likelihood in likelihoods]
