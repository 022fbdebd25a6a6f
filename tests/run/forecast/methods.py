"""Ways to forecast a final loss, to compare bertd's with. Each takes what was known at a moment of a run."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from functools import cache

from bertd.run.forecast.annealing_law import LossPoint, fit_laws
from bertd.run.forecast.learn_prior import learn_prior
from bertd.run.forecast.loss_curve import CurvePoint
from bertd.run.forecast.make_forecast import PLATEAU, fit_curve, make_forecast
from bertd.run.forecast.prior import ForecastPrior
from bertd.run.forecast.rate_areas import Position, RateAreas, rate_areas
from bertd.run.forecast.shipped_prior import ANY_GAIN, SHIPPED_PRIOR
from tests.run.forecast.recorded_runs import Moment, RecordedRun, recorded_runs

Method = Callable[[RecordedRun, Moment, Sequence[RecordedRun]], float | None]
"""A run, the moment, and all other recorded runs; None where it says nothing."""

_EXPONENTS = [0.1 * 1.15**power for power in range(24)]
_MPL_C, _MPL_BETA, _MPL_GAMMA = 2.0, 0.59, 0.65
"""Luo et al. 2025 (arXiv 2503.12811), their fits for 25 to 400 million parameters; the rate in units of 3e-4."""
_MPL_RATE = 3e-4


def last_value(_run: RecordedRun, moment: Moment, _others: Sequence[RecordedRun]) -> float | None:
    """The newest validation."""
    return moment.curve.points[-1].loss


def power_law(_run: RecordedRun, moment: Moment, _others: Sequence[RecordedRun]) -> float | None:
    """L0 + A step^-a over the validations past the plateau; the schedule is ignored."""
    points = _past_plateau(moment)
    if len(points) < 4:
        return None
    places = [LossPoint(RateAreas(float(point.step), 0.0), point.loss) for point in points]
    best = min(fit_laws(places, exponents=_EXPONENTS, gains=[0.0]), key=lambda fit: fit.squared_error)
    return best.law.loss(RateAreas(_end_step(moment), 0.0))


def tissue_alone(_run: RecordedRun, moment: Moment, _others: Sequence[RecordedRun]) -> float | None:
    """The law of Tissue et al. with nothing carried over: gain and exponent are the ones that fit best."""
    free = SHIPPED_PRIOR.model_copy(update={"gain": 1.0, "gain_spread": 0.4, "exponent_spread": 50.0})
    found = make_forecast(moment.curve, moment.schedule, free)
    return None if found is None else found.loss


def multi_power_law(run: RecordedRun, moment: Moment, _others: Sequence[RecordedRun]) -> float | None:
    """Luo et al. 2025 with their b, g and C; L0, A, a and B are fitted."""
    points = _past_plateau(moment)
    if len(points) < 4:
        return None
    peak = run.recipe.optimizer.peak_lr / _MPL_RATE
    positions = _positions(moment)
    ends = [index for index, position in enumerate(positions) if position.step in {point.step for point in points}]
    ends.append(len(positions) - 1)
    areas = list(rate_areas(positions, moment.schedule.section, memory_steps=1e-9))
    reduced = [_reduction(areas, end, peak=peak) for end in ends]
    scale = max(reduced) or 1.0
    places = [
        LossPoint(RateAreas(areas[end].steps, value / scale), point.loss)
        for end, value, point in zip(ends, reduced, points, strict=False)
    ]
    gains = [0.1 * number for number in range(16)]
    best = min(fit_laws(places, exponents=_EXPONENTS, gains=gains), key=lambda fit: fit.squared_error)
    return best.law.loss(RateAreas(areas[-1].steps, reduced[-1] / scale))


def collapse(run: RecordedRun, moment: Moment, others: Sequence[RecordedRun]) -> float | None:
    """Qiu et al. 2025: curves divided by their end fall on each other. Another run with the same schedule."""
    ratios = [
        value / other.final_loss
        for other in others
        if other.recipe.schedule == run.recipe.schedule and (value := _loss_at(other, moment.progress)) is not None
    ]
    return moment.curve.points[-1].loss / statistics.fmean(ratios) if ratios else None


def shipped(run: RecordedRun, moment: Moment, others: Sequence[RecordedRun]) -> float | None:
    """bertd's, with values from the recorded runs of other recipes alone."""
    found = make_forecast(moment.curve, moment.schedule, prior_of_others(run, others))
    return None if found is None else found.loss


def after_a_run(run: RecordedRun, moment: Moment, others: Sequence[RecordedRun]) -> float | None:
    """bertd's, where other runs of the same recipe have ended before; their budgets may differ."""
    same = [other.as_earlier(run.recipe) for other in others if other.law == run.law]
    if not same:
        return None
    found = make_forecast(moment.curve, moment.schedule, learn_prior(same, before=prior_of_others(run, others)))
    return None if found is None else found.loss


def prior_of_others(run: RecordedRun, others: Sequence[RecordedRun]) -> ForecastPrior:
    """What the runs of other recipes say of gain and exponent."""
    return prior_from([other for other in others if other.key != run.key])


def prior_from(runs: Sequence[RecordedRun]) -> ForecastPrior:
    """The mean of the gain over recipes, each of which counts once.

    The rest stays as it ships, chosen once on these same runs: the exponent, since most curves are as well described by
    a smaller one with a lower floor; the spreads, the noise and the memory.
    """
    by_key: dict[str, list[float]] = {}
    for run in runs:
        if (gain := _gain(run.name)) is not None:
            by_key.setdefault(run.key, []).append(gain)
    gains = [statistics.fmean(gains) for gains in by_key.values()]
    return SHIPPED_PRIOR.model_copy(update={"gain": statistics.fmean(gains)})


@cache
def _gain(name: str) -> float | None:
    """Of the law of a run's whole curve."""
    (last,) = [run.moments[-1] for run in recorded_runs() if run.name == name]
    law = fit_curve(last.curve, last.schedule, SHIPPED_PRIOR.model_copy(update=ANY_GAIN))
    return None if law is None else law.gain


def _past_plateau(moment: Moment) -> list[CurvePoint]:
    limit = PLATEAU * moment.curve.unigram_entropy
    return [point for point in moment.curve.points if point.step > 0 and point.loss < limit]


def _end_step(moment: Moment) -> float:
    return _positions(moment)[-1].step


def _positions(moment: Moment) -> list[Position]:
    """Those of the validations, then 64 to the end at the speed so far."""
    schedule, points = moment.schedule, [point for point in moment.curve.points if point.step > 0]
    spent = schedule.spent(points[-1])
    speed = points[-1].step / spent
    positions = [Position(point.step, schedule.progress(schedule.spent(point))) for point in points]
    for place in range(1, 65):
        there = spent + (schedule.end - spent) * place / 64
        positions.append(Position(points[-1].step + (there - spent) * speed, schedule.progress(there)))
    return positions


def _reduction(areas: Sequence[RateAreas], end: int, *, peak: float) -> float:
    """The sum over the falls of the rate before `end` of what each has brought by then."""
    total = 0.0
    for before, after in zip(areas[:end], areas[1 : end + 1], strict=True):
        rate = peak * max(1e-9, 1.0 - after.drop)
        since = peak * (areas[end].steps - after.steps)
        total += (after.drop - before.drop) * (1.0 - (1.0 + _MPL_C * rate**-_MPL_GAMMA * since) ** -_MPL_BETA)
    return total


def _loss_at(run: RecordedRun, progress: float) -> float | None:
    moment = run.moment(progress)
    return None if moment is None else moment.curve.points[-1].loss


METHODS: dict[str, Method] = {
    "last value": last_value,
    "power law in steps, no schedule": power_law,
    "Tissue et al., nothing carried over": tissue_alone,
    "multi-power law, published constants": multi_power_law,
    "collapse, another run of the same schedule": collapse,
    "bertd, values from other recipes": shipped,
    "bertd, after a run of the same recipe": after_a_run,
}
