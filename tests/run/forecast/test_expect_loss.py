"""What a finished run says of other budgets of its recipe."""

from __future__ import annotations

from pathlib import Path

import pytest

from bertd.run.forecast.earlier_runs import EarlierRun, find_earlier_runs, newest_run_folders
from bertd.run.forecast.expect_loss import expect_loss, steps_to_reach
from tests.run.forecast.curves import STEPS, law_losses
from tests.run.forecast.test_earlier_runs import finish, places, recipe


@pytest.fixture
def earlier(tmp_path: Path) -> list[EarlierRun]:
    finish(tmp_path / "1-a", recipe())
    return find_earlier_runs(newest_run_folders(tmp_path), recipe())


@pytest.mark.parametrize("steps", [STEPS // 2, STEPS, 2 * STEPS])
def test_a_run_tells_of_other_budgets(earlier: list[EarlierRun], steps: int) -> None:
    other = recipe(f"budget.steps={steps}")
    (true,) = law_losses(places(other), list(range(50, steps + 1, 50)))[-1:]

    expected = expect_loss(earlier, other.schedule, steps=steps)

    assert expected is not None and "1-a" in expected.basis
    assert expected.loss == pytest.approx(true, rel=0.05)
    assert expected.low < expected.loss < expected.high


def test_the_steps_that_reach_a_loss_are_expected_to(earlier: list[EarlierRun]) -> None:
    section = recipe().schedule
    steps = steps_to_reach(1.4, earlier, section)
    assert steps is not None
    at, before = (expect_loss(earlier, section, steps=number) for number in (steps, steps - 1))
    assert at is not None and before is not None
    assert at.loss <= 1.4 < before.loss
    assert steps_to_reach(0.01, earlier, section) is None


def test_nothing_is_expected_without_a_run() -> None:
    assert expect_loss([], recipe().schedule, steps=100) is None
    assert steps_to_reach(1.0, [], recipe().schedule) is None
