"""Forecast the last validation of a run from those so far. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from bertd.run.budget import BudgetPlan, training_end
from bertd.run.forecast.annealing_law import AnnealingLaw, LawFit, LossPoint, fit_laws, mix_weights
from bertd.run.forecast.loss_curve import CurvePoint, LossCurve
from bertd.run.forecast.prior import ForecastPrior
from bertd.run.forecast.rate_areas import Position, RateAreas, rate_areas
from bertd.run.progress import RunProgress
from bertd.run.recipe.schema import Recipe, ScheduleSection

MIN_PROGRESS = 0.1
"""Share of the schedule before which nothing is said."""
MIN_POINTS = 4
PLATEAU = 0.75
"""A validation above this share of the loss of a guess by frequency is left out: the model does not use the context
yet, and the loss then falls by another law."""
_EXPONENTS = [0.2 * 1.15**power for power in range(18)]
"""0.2 to 2.2"""
_NUM_GAINS = 13
_GAIN_RANGE = 2.5
"""Gains are tried up to this many standard deviations from the expected one."""
_LEAST_LOSS = 0.01
"""Nats: the noise of a loss of 0 is not 0."""
_CURVE_POINTS = 12


@dataclass(frozen=True)
class Forecast:
    """What is expected."""

    loss: float
    """Nats: of the last validation."""
    low: float
    high: float
    """Nats: the 80 % band."""
    end_step: int
    curve: list[tuple[float, float]]
    """Shares of the budget from now to the end, each with the expected loss in nats."""


@dataclass(frozen=True)
class RunSchedule:
    """How a run's learning rate depends on what is spent."""

    section: ScheduleSection
    plan: BudgetPlan
    reserve: float
    """Kept for the end, in the budget's unit."""

    @classmethod
    def of(cls, recipe: Recipe, progress: RunProgress) -> Self:
        """That of a run, with the changes of its budget."""
        plan = progress.budget_plan(recipe.granted)
        return cls(recipe.schedule, plan, plan.granted.convert_seconds(progress.reserve_s or 0.0))

    @property
    def end(self) -> float:
        """Spent when training ends."""
        return training_end(self.plan.granted.amount, reserve=self.reserve)

    def spent(self, point: CurvePoint) -> float:
        """Spent at a point, in the budget's unit."""
        return self.plan.granted.spent(charged_s=point.charged_s, steps=point.step, sequences=point.sequences)

    def progress(self, spent: float) -> float:
        """Of the schedule, 0..1."""
        return self.plan.schedule_progress(spent, reserve=self.reserve)


@dataclass(frozen=True)
class _Path:
    """The validations of a run, and the way to the end of its schedule."""

    now: float
    """Progress of the schedule at the newest validation."""
    points: list[LossPoint]
    """Validations that the law is for."""
    is_past_plateau: bool
    """The newest validation is one."""
    ahead: list[tuple[float, RateAreas]]
    """What is spent at some places from the newest validation to the end, with the areas there."""
    end_step: float


def make_forecast(curve: LossCurve, schedule: RunSchedule, prior: ForecastPrior) -> Forecast | None:
    """The loss at the end of the schedule.

    None while less than a tenth of the schedule is over, while the model still guesses by frequency, and where too few
    validations are past that.
    """
    path = _find_path(curve, schedule, prior)
    if path is None or path.now < MIN_PROGRESS or not path.is_past_plateau or len(path.points) < MIN_POINTS:
        return None
    mixture = _fit_mixture(path.points, prior)
    amount = schedule.plan.granted.amount
    ahead = [(min(1.0, spent / amount), _mean_loss(mixture, areas)) for spent, areas in path.ahead]
    loss = ahead[-1][1]
    margin = prior.error_at(path.now) * loss
    return Forecast(loss=loss, low=loss - margin, high=loss + margin, end_step=round(path.end_step), curve=ahead)


def fit_curve(curve: LossCurve, schedule: RunSchedule, prior: ForecastPrior) -> AnnealingLaw | None:
    """The law of a whole curve: the likeliest one; None if too few validations are past the plateau."""
    path = _find_path(curve, schedule, prior)
    if path is None or len(path.points) < MIN_POINTS:
        return None
    fit, _ = max(_fit_mixture(path.points, prior), key=lambda pair: pair[1])
    return fit.law


def _find_path(curve: LossCurve, schedule: RunSchedule, prior: ForecastPrior) -> _Path | None:
    """None before a validation after the first step."""
    known = [point for point in curve.points if point.step > 0]
    if not known:
        return None
    last = known[-1]
    spent = schedule.spent(last)
    if spent <= 0.0:
        return None
    left = max(0.0, schedule.end - spent)
    steps_per_spent = _steps_per_spent(known, schedule)
    ahead = [spent + left * place / _CURVE_POINTS for place in range(_CURVE_POINTS + 1)]
    positions = [Position(point.step, schedule.progress(schedule.spent(point))) for point in known]
    positions += [Position(last.step + (there - spent) * steps_per_spent, schedule.progress(there)) for there in ahead]
    areas = list(rate_areas(positions, schedule.section, memory_steps=prior.memory_steps))
    limit = PLATEAU * curve.unigram_entropy
    return _Path(
        now=schedule.progress(spent),
        points=[
            LossPoint(area, point.loss)
            for area, point, position in zip(areas, known, positions, strict=False)
            if point.loss < limit and position.progress >= schedule.section.warmup
        ],
        is_past_plateau=last.loss < limit,
        ahead=list(zip(ahead, areas[len(known) :], strict=True)),
        end_step=positions[-1].step,
    )


def _mean_loss(mixture: list[tuple[LawFit, float]], areas: RateAreas) -> float:
    return max(0.0, sum(weight * fit.law.loss(areas) for fit, weight in mixture))


def _fit_mixture(points: Sequence[LossPoint], prior: ForecastPrior) -> list[tuple[LawFit, float]]:
    """Laws for the points, each with how likely it is."""
    gains = [
        prior.gain + prior.gain_spread * _GAIN_RANGE * (2 * place / (_NUM_GAINS - 1) - 1) for place in range(_NUM_GAINS)
    ]
    fits = list(fit_laws(points, exponents=_EXPONENTS, gains=[gain for gain in gains if gain >= 0.0]))
    penalties = [prior.penalty(exponent=fit.law.exponent, gain=fit.law.gain) for fit in fits]
    noise = prior.noise * max(points[-1].loss, _LEAST_LOSS)
    weights = mix_weights(fits, penalties=penalties, noise=noise, num_points=len(points))
    return list(zip(fits, weights, strict=True))


def _steps_per_spent(known: Sequence[CurvePoint], schedule: RunSchedule) -> float:
    """Steps that an amount of the budget buys, by the speed over the newest half of what is spent."""
    last = known[-1]
    spent = schedule.spent(last)
    earlier = next((point for point in known if schedule.spent(point) >= spent / 2), last)
    if earlier.step == last.step or schedule.spent(earlier) >= spent:
        return last.step / spent
    return (last.step - earlier.step) / (spent - schedule.spent(earlier))
