"""Forecasts of curves that follow the law are right, and nothing is said where nothing can be known."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertd.records import BudgetUnit
from bertd.run.budget import Budget, BudgetPlan
from bertd.run.forecast.annealing_law import AnnealingLaw
from bertd.run.forecast.loss_curve import LossCurve
from bertd.run.forecast.make_forecast import RunSchedule, fit_curve, make_forecast
from tests.run.forecast.curves import ENTROPY, LAW, PRIOR, STEPS, law_curve, law_losses, schedule, validation


@pytest.mark.parametrize("curve", ["linear", "cosine", "trapezoid", "exponential"])
@pytest.mark.parametrize("until", [0.25, 0.5, 0.75])
def test_a_curve_on_the_law_is_forecast_to_its_end(curve: str, until: float) -> None:
    places = schedule(curve=curve, end=0.01)
    (final,) = law_losses(places, [*range(50, STEPS + 1, 50)])[-1:]

    found = make_forecast(law_curve(places, until=until), places, PRIOR)

    assert found is not None
    assert found.loss == pytest.approx(final, rel=1e-2)
    assert found.low < final < found.high and found.end_step == STEPS
    shares = [share for share, _ in found.curve]
    assert shares[0] == until and shares[-1] == 1.0 and shares == sorted(shares)
    assert found.curve[-1][1] == found.loss


def test_the_gain_of_the_fall_is_taken_from_the_prior_until_the_curve_shows_it() -> None:
    places = schedule(curve="trapezoid", decay=0.2)
    wrong = PRIOR.model_copy(update={"gain": 0.8, "gain_spread": 0.2})
    (final,) = law_losses(places, [*range(50, STEPS + 1, 50)])[-1:]
    before, after = (make_forecast(law_curve(places, until=until), places, wrong) for until in (0.75, 0.98))
    assert before is not None and after is not None
    assert before.loss < final - 0.2
    assert after.loss == pytest.approx(final, abs=0.05)


def test_nothing_is_said_before_a_tenth_of_the_schedule() -> None:
    places = schedule()
    assert make_forecast(law_curve(places, until=0.099), places, PRIOR) is None
    assert make_forecast(law_curve(places, until=0.13, every=20), places, PRIOR) is not None


def test_nothing_is_said_while_the_model_guesses_by_frequency() -> None:
    places = schedule()
    flat = AnnealingLaw(floor=0.95 * ENTROPY, amount=0.1, exponent=0.5, gain=0.0)
    assert make_forecast(law_curve(places, until=0.5, law=flat), places, PRIOR) is None


def test_nothing_is_said_of_an_empty_curve_and_of_a_first_validation() -> None:
    assert make_forecast(LossCurve(), schedule(), PRIOR) is None
    assert make_forecast(LossCurve().with_record(validation(0, 6.0)), schedule(), PRIOR) is None


def test_a_longer_budget_is_expected_to_end_lower() -> None:
    places = schedule()
    curve = law_curve(places, until=0.5)
    longer = replace(places, plan=places.plan.with_change(spent=STEPS / 2, amount=3 * STEPS))
    now, then = make_forecast(curve, places, PRIOR), make_forecast(curve, longer, PRIOR)
    assert now is not None and then is not None
    assert then.loss < now.loss and then.end_step == 3 * STEPS


def test_a_timed_budget_is_forecast_at_the_speed_so_far() -> None:
    # A second a step; the reserve is kept back.
    plan = BudgetPlan(Budget(unit=BudgetUnit.HOURS, amount=(STEPS + 200) / 3600, num_devices=1))
    places = RunSchedule(schedule().section, plan, reserve=200 / 3600)
    found = make_forecast(law_curve(schedule(), until=0.5), places, PRIOR)
    assert found is not None and found.end_step == pytest.approx(STEPS, abs=1)
    assert found.curve[-1][0] == pytest.approx(STEPS / (STEPS + 200))


def test_a_whole_curve_shows_its_law() -> None:
    places = schedule()
    law = fit_curve(law_curve(places, until=1.0), places, PRIOR)
    assert law is not None
    assert law.gain == pytest.approx(LAW.gain, abs=0.05) and law.exponent == pytest.approx(LAW.exponent, rel=0.15)


@given(
    losses=st.lists(st.floats(min_value=0.0, max_value=12.0), min_size=1, max_size=30),
    until=st.floats(min_value=0.01, max_value=1.5),
)
def test_any_curve_gives_a_finite_forecast_or_none(losses: list[float], until: float) -> None:
    places = schedule()
    curve = LossCurve()
    for number, loss in enumerate(losses, start=1):
        curve = curve.with_record(validation(max(1, round(until * STEPS * number / len(losses))), loss))
    found = make_forecast(curve, places, PRIOR)
    if found is not None:
        assert found.low <= found.loss <= found.high
        assert all(0.0 <= share <= 1.0 and loss == loss for share, loss in found.curve)
