"""A run's journal gets a forecast after each validation that allows one."""

from __future__ import annotations

from pathlib import Path

import pytest

from bertd.records import BudgetUnit, ForecastRecord, JournalRecord
from bertd.run.budget import Budget, BudgetPlan
from bertd.run.forecast.earlier_runs import find_earlier_runs, newest_run_folders
from bertd.run.forecast.loss_curve import LossCurve
from bertd.run.progress import RunProgress
from bertd.train.loop.budget_tracker import BudgetTracker
from bertd.train.loop.forecaster import Forecaster
from bertd.train.loop.reporting import Reporter
from bertd.train.loop.validation import ValidationResult
from bertd.train.state import TrainState
from tests.run.forecast.curves import ENTROPY, STEPS, law_curve, law_losses, validation
from tests.run.forecast.test_earlier_runs import finish, places, recipe
from tests.train.loop.test_control import FakeClock


def plan() -> BudgetPlan:
    return BudgetPlan(Budget(unit=BudgetUnit.STEPS, amount=STEPS, num_devices=1))


def test_a_run_that_resumes_goes_on_with_the_curve_in_its_journal() -> None:
    steps = list(range(50, STEPS + 1, 50))
    losses = law_losses(places(recipe()), steps)
    resumed = Forecaster(recipe(), curve=law_curve(places(recipe()), until=0.5), earlier=())
    there = STEPS // 2 + 50

    record = resumed.after(validation(there, losses[steps.index(there)]), plan())

    assert record is not None and record.step == there and record.end_step == STEPS
    assert record.low < record.loss < record.high and record.typical is None
    fresh = Forecaster(recipe(), curve=LossCurve(), earlier=())
    assert fresh.after(validation(there, losses[steps.index(there)]), plan()) is None


def test_the_end_of_the_run_is_not_forecast() -> None:
    steps = list(range(50, STEPS + 1, 50))
    losses = law_losses(places(recipe()), steps)
    forecaster = Forecaster(recipe(), curve=law_curve(places(recipe()), until=0.98), earlier=())
    assert forecaster.after(validation(STEPS, losses[-1]), plan()) is None


def test_an_earlier_run_gives_what_is_typical_and_the_basis(tmp_path: Path) -> None:
    finish(tmp_path / "1-a", recipe("run.seed=7"))
    earlier = find_earlier_runs(newest_run_folders(tmp_path), recipe())
    curve = law_curve(places(recipe()), until=0.5)
    forecaster = Forecaster(recipe(), curve=curve, earlier=earlier)
    (final,) = law_losses(places(recipe()), list(range(50, STEPS + 1, 50)))[-1:]

    record = forecaster.after(validation(STEPS // 2, curve.points[-1].loss), plan())

    assert record is not None and record.typical is not None and "1-a" in record.basis
    assert record.typical.loss == pytest.approx(curve.points[-1].loss)
    assert record.loss == pytest.approx(final, rel=0.02)


class Journal:
    def __init__(self) -> None:
        self.records: list[JournalRecord] = []

    def append(self, record: JournalRecord) -> None:
        self.records.append(record)

    def close(self) -> None:
        return None


def test_an_alert_says_that_the_target_will_not_be_reached() -> None:
    aimed = recipe("validation.target_loss=1.4")
    journal = Journal()
    curve = law_curve(places(aimed), until=0.5)
    forecaster = Forecaster(aimed, curve=curve, earlier=())
    reporter = Reporter(budget=BudgetTracker(aimed, clock=FakeClock()), journal=journal, forecaster=forecaster)
    loss = curve.points[-1].loss
    result = ValidationResult(loss=loss, num_tokens=1, unigram_loss=ENTROPY, unigram_entropy=ENTROPY, seconds=1.0)

    state = TrainState(step=STEPS // 2, sequences=8 * STEPS // 2, charged_s=0.0, recipe_sha256="", data_fingerprint="")
    reporter.report_validation(state, result)

    assert [record.kind for record in journal.records] == ["validation", "forecast", "alert"]
    forecast = journal.records[1]
    assert isinstance(forecast, ForecastRecord)
    assert forecast.target_loss == 1.4 and forecast.low > 1.4
    assert forecast.target_amount is None or forecast.target_amount > STEPS
    assert RunProgress().with_record(forecast).charged_s == forecast.charged_s
