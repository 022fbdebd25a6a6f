"""A run that is slower than its own median says what that costs; one that keeps to it says nothing."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from bertd.api.models import RunView, SeriesView
from bertd.records import BudgetUnit
from tests.tui.fake_feed import FakeFeed
from tui.charts.rates import median_speed, sequences_at_end, shortfall
from tui.display_options import DisplayOptions
from tui.panels.budget import draw

BATCH = 10
USUAL = 100.0


def _series(num_points: int = 20) -> SeriesView:
    points = [(index / 100, USUAL) for index in range(num_points)] + [(0.3, math.nan)]
    return SeriesView(run_id="r", x="progress", columns={"sequences_per_s": points})


def _run(unit: BudgetUnit, *, speed: float) -> RunView:
    """1,000 steps of 10 sequences are done; 900 s, or 9,000 steps, are left."""
    run = FakeFeed().status.runs[0]
    assert run.step is not None
    is_timed = unit is BudgetUnit.HOURS
    left_s = 900.0 if is_timed else 9000 * BATCH / speed
    end = 1000 + round(900 * speed / BATCH) if is_timed else 10_000
    budget = run.budget.model_copy(update={"unit": unit, "remaining_s": left_s, "projected_step": end})
    step = run.step.model_copy(update={"step": 1000, "sequences": 1000 * BATCH})
    return run.model_copy(update={"budget": budget, "step": step})


@pytest.mark.parametrize(
    ("unit", "speed", "words"),
    [
        (BudgetUnit.HOURS, 100.0, ""),
        (BudgetUnit.HOURS, 99.9, ""),
        (BudgetUnit.HOURS, 120.0, ""),
        (BudgetUnit.HOURS, 80.0, "stops 18 % short at this rate"),
        (BudgetUnit.STEPS, 100.0, ""),
        (BudgetUnit.STEPS, 80.0, "3m 45s later than at its median rate"),
        (BudgetUnit.SEQUENCES, 50.0, "15m 00s later than at its median rate"),
    ],
)
def test_a_slow_run_says_what_that_costs(unit: BudgetUnit, speed: float, words: str) -> None:
    assert shortfall(_run(unit, speed=speed), _series()) == words


def test_a_few_steps_have_no_median() -> None:
    assert median_speed(_series(3)) is None
    assert median_speed(None) is None
    assert median_speed(_series()) == USUAL
    assert shortfall(_run(BudgetUnit.HOURS, speed=50.0), _series(3)) == ""


def test_the_budget_says_it_and_the_sequences_at_the_end() -> None:
    feed = FakeFeed()
    slow = _run(BudgetUnit.HOURS, speed=80.0)
    assert sequences_at_end(slow) == pytest.approx(82_000)
    feed.set_runs([slow])
    text = "\n".join(one.plain for one in draw(replace(feed.current, series=_series()), DisplayOptions(), 140, 3))
    assert "stops 18 % short at this rate" in text
    assert "10.0k of 82.0k sequences" in text
