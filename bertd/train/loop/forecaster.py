"""Forecast the loss after each validation; on rank 0 alone."""

from __future__ import annotations

from collections.abc import Sequence

from bertd.records import ForecastRecord, ValidationRecord
from bertd.run.budget import BudgetPlan
from bertd.run.forecast.earlier_runs import EarlierRun
from bertd.run.forecast.learn_prior import learn_prior, typical_loss
from bertd.run.forecast.loss_curve import LossCurve
from bertd.run.forecast.make_forecast import RunSchedule, make_forecast
from bertd.run.forecast.reach_target import amount_to_reach
from bertd.run.recipe.schema import Recipe


class Forecaster:
    """Keeps the curve of a run, and forecasts from it."""

    def __init__(self, recipe: Recipe, *, curve: LossCurve, earlier: Sequence[EarlierRun]) -> None:
        """Continue where the journal ends.

        Args:
            curve: the validations in the journal.
            earlier: runs of the same recipe that are over.
        """
        self._recipe = recipe
        self._curve = curve
        self._earlier = earlier
        self._prior = learn_prior(earlier)

    def after(self, validation: ValidationRecord, plan: BudgetPlan) -> ForecastRecord | None:
        """The forecast after one more validation; None where nothing can be said, and where the run is over."""
        self._curve = self._curve.with_record(validation)
        reserve = plan.granted.convert_seconds(validation.reserve_s or 0.0)
        schedule = RunSchedule(self._recipe.schedule, plan, reserve)
        forecast = make_forecast(self._curve, schedule, self._prior)
        if forecast is None or validation.share < 1.0:
            return None
        point = self._curve.points[-1]
        progress = schedule.progress(schedule.spent(point))
        if progress >= 1.0:
            return None
        target = self._recipe.validation.target_loss
        return ForecastRecord(
            t=validation.t,
            step=validation.step,
            charged_s=validation.charged_s,
            progress=validation.progress,
            loss=forecast.loss,
            low=forecast.low,
            high=forecast.high,
            end_step=forecast.end_step,
            curve=forecast.curve,
            basis=self._prior.basis,
            typical=typical_loss(self._earlier, progress=progress),
            target_loss=target,
            target_amount=None if target is None else amount_to_reach(target, self._curve, schedule, self._prior),
        )
