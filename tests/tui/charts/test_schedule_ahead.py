"""The learning rate ahead begins at the newest rate and ends as the schedule does."""

from __future__ import annotations

import pytest

from bertd.records import StepRecord
from bertd.run.learning_rate import learning_rate_factor
from bertd.run.recipe.load import parse_recipe
from bertd.run.recipe.schema import Recipe
from tests.tui.fake_feed import FakeFeed
from tui.charts.schedule_ahead import ahead_text, learning_rate_ahead

PEAK = 1e-3


def _recipe(schedule: str) -> Recipe:
    text = (
        f'[run]\nname = "r"\n[budget]\nhours = 1\n[data]\nshards = "d"\n[optimizer]\npeak_lr = {PEAK}\n'
        f"[schedule]\n{schedule}\n"
    )
    return parse_recipe(text, name="a test")


def _step(progress: float, rate: float) -> StepRecord:
    step = FakeFeed().status.runs[0].step
    assert step is not None
    return step.model_copy(update={"progress": progress, "lr": rate})


@pytest.mark.parametrize("schedule", ['curve = "linear"', 'curve = "cosine"', 'curve = "trapezoid"', "warmup = 0.5"])
@pytest.mark.parametrize("progress", [0.03, 0.4, 0.95])
def test_it_follows_the_schedule_from_the_newest_rate(schedule: str, progress: float) -> None:
    recipe = _recipe(schedule)
    rate = PEAK * learning_rate_factor(recipe.schedule, progress=progress)
    ahead = learning_rate_ahead(recipe, _step(progress, rate), is_changed=False)
    assert ahead[0] == pytest.approx((progress, rate))
    assert ahead[-1] == pytest.approx((1.0, 0.0), abs=1e-12)
    for share, lr in ahead:
        assert lr == pytest.approx(PEAK * learning_rate_factor(recipe.schedule, progress=share), abs=1e-12)


def test_after_a_change_of_the_budget_it_continues_without_a_jump() -> None:
    recipe = _recipe('curve = "linear"\nwarmup = 0.1')
    # At 60 % of the first budget it was doubled: 30 % of it are spent, and the rate is that of 60 %.
    rate = PEAK * learning_rate_factor(recipe.schedule, progress=0.6)
    ahead = learning_rate_ahead(recipe, _step(0.3, rate), is_changed=True)
    assert ahead[0] == pytest.approx((0.3, rate))
    assert ahead[-1] == pytest.approx((1.0, 0.0), abs=1e-12)
    middle = min(ahead, key=lambda pair: abs(pair[0] - 0.65))
    assert middle[1] == pytest.approx(rate / 2, rel=0.02)


def test_what_comes_next_is_said_in_words() -> None:
    assert ahead_text(_recipe("warmup = 0.06"), _step(0.01, 0.0)) == "rises to 6 % of the budget"
    assert ahead_text(_recipe('curve = "linear"'), _step(0.5, 0.0)) == "falls to 0"
    assert ahead_text(_recipe('curve = "constant"'), _step(0.5, 0.0)) == "stays"
    trapezoid = _recipe('curve = "trapezoid"\ndecay = 0.2')
    assert ahead_text(trapezoid, _step(0.5, 0.0)) == "stays until 80 %, then falls to 0"
    assert ahead_text(trapezoid, _step(0.9, 0.0)) == "falls to 0"


def test_at_the_end_nothing_is_ahead() -> None:
    assert learning_rate_ahead(_recipe('curve = "linear"'), _step(1.0, 0.0), is_changed=False) == []
