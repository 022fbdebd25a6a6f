"""Find the budget that is expected to reach a loss. Pure."""

from __future__ import annotations

from dataclasses import replace

from bertd.run.forecast.loss_curve import LossCurve
from bertd.run.forecast.make_forecast import RunSchedule, make_forecast
from bertd.run.forecast.prior import ForecastPrior

MAX_FACTOR = 100.0
"""A budget more than so many times the present one is not suggested."""
_MAX_POINTS = 24
_HALVINGS = 12


def amount_to_reach(target: float, curve: LossCurve, schedule: RunSchedule, prior: ForecastPrior) -> float | None:
    """The whole budget, in its unit, at which the forecast of the last validation is `target`.

    It is at least what is spent now: of a run that is there already, the present budget or less. None where nothing
    can be forecast, and if the law says that a hundred times the budget would not reach it.
    """
    every = max(1, len(curve.points) // _MAX_POINTS)
    thinned = curve.model_copy(update={"points": (*curve.points[:-1:every], *curve.points[-1:])})
    spent = schedule.spent(curve.points[-1]) if curve.points else 0.0

    def expected(amount: float) -> float | None:
        changed = replace(schedule, plan=schedule.plan.with_change(spent=spent, amount=amount))
        forecast = make_forecast(thinned, changed, prior)
        return None if forecast is None else forecast.loss

    present = schedule.plan.granted.amount
    low, high = spent, MAX_FACTOR * present
    most = expected(high)
    if most is None or most > target:
        return None
    for _ in range(_HALVINGS):
        middle = (low * high) ** 0.5 if low > 0.0 else high / 2
        loss = expected(middle)
        if loss is None or loss > target:
            low = middle
        else:
            high = middle
    return high
