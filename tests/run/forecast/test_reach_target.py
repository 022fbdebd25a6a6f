"""Which budget reaches a loss, and the alert that this one does not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bertd.records import BudgetUnit, ForecastRecord
from bertd.run.forecast.make_forecast import make_forecast
from bertd.run.forecast.reach_target import amount_to_reach
from bertd.run.forecast.target_watch import TargetWatch
from tests.run.forecast.curves import PRIOR, STEPS, law_curve, schedule


def test_the_budget_that_is_found_is_forecast_to_end_at_the_target() -> None:
    places = schedule()
    curve = law_curve(places, until=0.5)
    present = make_forecast(curve, places, PRIOR)
    assert present is not None
    target = present.loss - 0.1

    amount = amount_to_reach(target, curve, places, PRIOR)

    assert amount is not None and amount > STEPS
    there = make_forecast(curve, replace(places, plan=places.plan.with_change(spent=STEPS / 2, amount=amount)), PRIOR)
    assert there is not None and there.loss == pytest.approx(target, abs=0.01)


def test_no_budget_reaches_what_is_below_the_floor_of_the_law() -> None:
    places = schedule()
    assert amount_to_reach(0.5, law_curve(places, until=0.5), places, PRIOR) is None


def forecast(low: float, *, target: float | None = 2.0) -> ForecastRecord:
    return ForecastRecord(
        t=0,
        step=100,
        charged_s=100,
        progress=0.5,
        loss=low + 0.1,
        low=low,
        high=low + 0.2,
        end_step=200,
        curve=[],
        basis="a test",
        target_loss=target,
        target_amount=36.0,
    )


def test_the_alert_comes_once_each_time_the_target_leaves_the_band() -> None:
    watch = TargetWatch()
    messages = [watch.message(forecast(low), BudgetUnit.HOURS) for low in (1.9, 2.1, 2.2, 1.9, 2.1)]
    assert [message is not None for message in messages] == [False, True, False, False, True]
    assert messages[1] is not None
    assert "2.200 nats, 80 % band 2.100 to 2.300" in messages[1] and "36h" in messages[1]


def test_a_run_without_a_target_gets_no_alert() -> None:
    assert TargetWatch().message(forecast(9.0, target=None), BudgetUnit.STEPS) is None
