"""bertd's forecasts on recorded runs: how far they are off, and that the values which ship are those of the runs.

tests/run/forecast/bench_forecast.py prints the whole comparison; docs/forecast.md has it.
"""

from __future__ import annotations

import statistics
from functools import cache

import pytest

from bertd.records import BudgetUnit
from bertd.run.forecast.shipped_prior import ERROR_OF_A_PLAN, ERRORS_AFTER_A_RUN, SHIPPED_PRIOR
from tests.run.forecast.bench_forecast import (
    conformal_quantile,
    coverage,
    error_quantiles,
    errors,
    plan_errors,
)
from tests.run.forecast.methods import Method, after_a_run, last_value, power_law, prior_from, shipped
from tests.run.forecast.recorded_runs import recorded_runs


@cache
def mean_error(method: Method, share: float) -> float:
    """Of the runs that bertd says something of."""
    names = errors(shipped, recorded_runs(), share=share)
    found = errors(method, recorded_runs(), share=share)
    return statistics.fmean(abs(error) for name, error in found.items() if name in names)


def test_the_runs_differ_in_budget_shape_rate_schedule_and_fate() -> None:
    runs = recorded_runs()
    recipes = [run.recipe for run in runs]
    assert len(runs) >= 16
    assert len({(recipe.model.layers, recipe.model.width) for recipe in recipes}) >= 4
    assert len({recipe.optimizer.peak_lr for recipe in recipes}) >= 4
    assert {recipe.schedule.curve for recipe in recipes} >= {"linear", "cosine", "trapezoid", "exponential"}
    assert {recipe.budget.unit for recipe in recipes} == {BudgetUnit.STEPS, BudgetUnit.HOURS}
    assert any(run.num_pauses for run in runs)
    assert any(run.moments[-1].schedule.plan.changes for run in runs)


@pytest.mark.parametrize("share", [0.25, 0.5, 0.75])
def test_a_forecast_is_nearer_than_the_last_value_and_than_a_law_without_the_schedule(share: float) -> None:
    assert 3 * mean_error(shipped, share) < mean_error(last_value, share)
    assert mean_error(shipped, share) < mean_error(power_law, share)


def test_the_errors_are_those_in_the_docs() -> None:
    assert mean_error(shipped, 0.5) < 0.015 and mean_error(shipped, 0.75) < 0.01
    assert mean_error(after_a_run, 0.5) < 0.012 and mean_error(after_a_run, 0.75) < 0.01


def test_nothing_is_said_early_and_of_a_run_that_never_leaves_the_plateau() -> None:
    runs = recorded_runs()
    assert not errors(shipped, runs, share=0.09)
    (stuck,) = [run for run in runs if run.name.startswith("spike")]
    assert all(stuck.name not in errors(shipped, runs, share=share) for share in (0.25, 0.5, 0.75))


@pytest.mark.parametrize("share", [0.5, 0.75])
def test_the_band_holds_about_as_often_as_it_says(share: float) -> None:
    held, total, _ = coverage(shipped, recorded_runs(), share=share)
    assert 0.7 * total <= held


def test_what_ships_is_what_the_runs_say() -> None:
    runs = recorded_runs()
    assert SHIPPED_PRIOR.gain == pytest.approx(prior_from(runs).gain, abs=0.005)
    assert SHIPPED_PRIOR.errors == error_quantiles(shipped, runs)
    assert error_quantiles(after_a_run, runs) == ERRORS_AFTER_A_RUN
    assert pytest.approx(conformal_quantile([*map(abs, plan_errors(runs).values())]), abs=0.001) == ERROR_OF_A_PLAN
