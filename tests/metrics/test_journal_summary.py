from __future__ import annotations

import json
import math

import pytest

from bertd.metrics.budget_view import build_budget_view
from bertd.metrics.journal_summary import JournalSummary, fold, fold_steps
from bertd.records import (
    BudgetUnit,
    CheckpointRecord,
    DevicesRecord,
    EndRecord,
    JournalRecord,
    RestartRecord,
    ValidationRecord,
)
from bertd.run.budget import DeviceSeconds
from bertd.run.recipe.load import parse_recipe
from bertd.run.recipe.schema import Recipe
from tests.jobs.runner_box import recipe_text
from tests.metrics.test_curves import start, step


def summary_of(*records: JournalRecord) -> JournalSummary:
    summary = JournalSummary()
    for record in records:
        summary = fold(summary, record)
    return summary


def validation(loss: float) -> ValidationRecord:
    return ValidationRecord(
        t=0,
        step=1,
        sequences=1,
        charged_s=1,
        progress=0.1,
        loss=loss,
        num_tokens=1,
        unigram_loss=6,
        unigram_entropy=6,
        seconds=1,
    )


RESTART = RestartRecord(t=0, step=8, attempt=2, cause="x", delay_s=5, from_step=5, charged_s=8)


def test_the_newest_of_each_kind_is_kept() -> None:
    summary = summary_of(start(0, charged_s=0, attempt=1), step(1, charged_s=1), step(2, charged_s=2))
    assert summary.step is not None and summary.step.step == 2
    assert summary.progress.step == 2


@pytest.mark.parametrize("num_before", [0, 2, 4])
def test_steps_folded_together_give_the_summary_of_each_folded_by_itself(num_before: int) -> None:
    # A restart repeats steps; the charge of one is from before a record that was read earlier.
    positions = [(1, 1.0, None), (2, 2.5, 8.0), (7, 9.0, 9.5), (3, 9.5, None), (4, 9.2, None), (5, 10.0, 7.0)]
    steps = [
        step(number, charged_s=charged_s).model_copy(update={"reserve_s": reserve_s, "sequences_per_s": charged_s})
        for number, charged_s, reserve_s in positions
    ]
    before = summary_of(start(0, charged_s=0, attempt=1), *steps[:num_before], validation(5.0))
    one_by_one = before
    for record in steps[num_before:]:
        one_by_one = fold(one_by_one, record)
    assert fold_steps(before, steps[num_before:]) == one_by_one


def test_steps_behind_the_checkpoint_are_lost_by_a_restart_and_counted_once() -> None:
    summary = summary_of(
        start(0, charged_s=0, attempt=1), step(8, charged_s=8), RESTART, start(5, charged_s=9, attempt=2)
    )
    assert (summary.restarts, summary.steps_lost, summary.progress.step) == (1, 3, 5)
    assert summary_of(start(0, charged_s=0, attempt=1), step(8, charged_s=8)).steps_lost == 0


def test_a_resume_from_the_very_step_loses_nothing() -> None:
    summary = summary_of(start(0, charged_s=0, attempt=1), step(8, charged_s=8), start(8, charged_s=8, attempt=2))
    assert summary.steps_lost == 0
    assert summary.step is not None


def test_the_step_that_was_saved_or_ended_with_is_the_last_though_no_step_record_told_of_it() -> None:
    told: list[JournalRecord] = [start(0, charged_s=0, attempt=1), step(143, charged_s=8)]
    saved = CheckpointRecord(
        t=0, step=145, sequences=2320, charged_s=8, name="x", size_bytes=1, seconds=1, stall_s=0, why="pause"
    )
    summary = summary_of(*told, saved)
    assert summary.step is not None
    assert (summary.progress.step, summary.step.step, summary.step.sequences) == (145, 145, 2320)
    older = saved.model_copy(update={"step": 140, "sequences": 2240})
    assert summary_of(*told, older).progress.step == 143


def test_a_step_saved_before_any_was_reported_is_the_last() -> None:
    saved = CheckpointRecord(
        t=0, step=3, sequences=48, charged_s=0.5, name="x", size_bytes=1, seconds=1, stall_s=0, why="pause"
    )
    summary = summary_of(start(0, charged_s=0, attempt=1), saved)
    assert (summary.progress.step, summary.progress.sequences) == (3, 48)


def test_a_summary_that_an_earlier_bertd_stored_has_its_progress() -> None:
    change = {"kind": "budget", "t": 0, "step": 5, "sequences": 5, "charged_s": 5, "unit": "gpu_hours"}
    row = {
        "step": step(143, charged_s=8).model_dump(),
        "checkpoint": {
            **{"kind": "checkpoint", "t": 0, "step": 143, "charged_s": 8.5, "name": "x", "why": "pause"},
            **{"size_bytes": 1, "seconds": 1, "stall_s": 0},
        },
        "budget": {**change, "before": 10, "after": 20, "spent": 4},
        "earlier": {"charged_s": 3600.0, "device_s": 7200.0},
    }
    progress = JournalSummary.model_validate_json(json.dumps(row)).progress
    assert (progress.step, progress.sequences, progress.charged_s) == (143, 143, 8.5)
    granted = progress.budget_plan(recipe("gpu_hours = 10.0").granted).granted
    assert (granted.amount, granted.past_device_seconds) == (20, DeviceSeconds(3600.0, 7200.0))
    assert JournalSummary.model_validate_json('{"earlier": {"charged_s": 0, "device_s": 0}}') == JournalSummary()


def test_a_nan_is_never_the_best_validation() -> None:
    summary = summary_of(validation(5.0), validation(math.nan), validation(4.0), validation(6.0))
    assert summary.best_validation == 4.0
    assert summary.validation is not None and summary.validation.loss == 6.0


def test_a_run_that_goes_on_is_not_over_any_more() -> None:
    end = EndRecord(t=0, step=8, sequences=8, charged_s=8, reason="failed", detail="x")
    assert summary_of(end, start(5, charged_s=9, attempt=2)).end is None


def test_the_speed_follows_slowly() -> None:
    fast = step(1, charged_s=0).model_copy(update={"sequences_per_s": 100.0})
    slow = step(2, charged_s=30).model_copy(update={"sequences_per_s": 50.0})
    summary = summary_of(fast, slow)
    assert summary.sequences_per_s == pytest.approx(75.0), "half way in half a minute"


# ---- The budget ----------------------------------------------------------------------------------------


def recipe(budget: str) -> Recipe:
    text = recipe_text().replace("steps = 20", budget)
    return parse_recipe(text, name="x")


def test_a_budget_of_hours_counts_down_exactly_and_projects_its_last_step() -> None:
    summary = summary_of(step(10, charged_s=100).model_copy(update={"sequences": 320, "sequences_per_s": 64.0}))
    view = build_budget_view(recipe("hours = 1.0"), summary, charged_s=100.0)
    assert (view.unit, view.remaining_s) == (BudgetUnit.HOURS, 3500.0)
    assert view.spent == pytest.approx(100 / 3600)
    assert view.projected_step == 10 + 3500 * 2


def test_what_is_left_ends_where_training_does_and_the_reserve_is_shown_apart() -> None:
    told = step(10, charged_s=100).model_copy(update={"sequences": 320, "sequences_per_s": 64.0, "reserve_s": 78.0})
    view = build_budget_view(recipe("hours = 1.0"), summary_of(told), charged_s=100.0)
    assert (view.remaining_s, view.reserve_s) == (3600 - 100 - 78, 78.0)
    assert view.projected_step == 10 + 3422 * 2
    ending = build_budget_view(recipe("hours = 1.0"), summary_of(told), charged_s=3570.0)
    assert (ending.remaining_s, ending.reserve_s) == (0.0, 30.0)
    end = EndRecord(t=0, step=10, sequences=320, charged_s=3590, reason="budget", detail="x")
    over = build_budget_view(recipe("hours = 1.0"), summary_of(told, end), charged_s=3590.0)
    assert (over.remaining_s, over.reserve_s) == (0.0, None)


def test_the_reserve_of_gpu_hours_is_kept_in_seconds_of_all_gpus() -> None:
    told: list[JournalRecord] = [
        DevicesRecord(t=0, step=10, charged_s=3600, before=8, after=1),
        step(10, charged_s=3600).model_copy(update={"reserve_s": 78.0}),
    ]
    view = build_budget_view(recipe("gpu_hours = 10.0"), summary_of(*told), charged_s=2 * 3600.0)
    assert (view.remaining_s, view.reserve_s) == (3600.0 - 78, 78.0)


@pytest.mark.parametrize("budget", ["steps = 20", "sequences = 640"])
def test_a_budget_of_work_keeps_no_reserve(budget: str) -> None:
    told = step(10, charged_s=100).model_copy(update={"sequences": 320, "sequences_per_s": 64.0})
    view = build_budget_view(recipe(budget), summary_of(told), charged_s=100.0)
    assert (view.remaining_s, view.reserve_s) == (5.0, None)


def test_gpu_hours_left_are_told_at_the_devices_of_by_now() -> None:
    moved = DevicesRecord(t=0, step=10, charged_s=3600, before=8, after=1)
    view = build_budget_view(recipe("gpu_hours = 10.0"), summary_of(moved), charged_s=2 * 3600.0)
    assert (view.spent, view.progress, view.remaining_s) == (9.0, 0.9, 3600.0)


def test_a_budget_of_steps_projects_its_time() -> None:
    summary = summary_of(step(10, charged_s=100).model_copy(update={"sequences": 320, "sequences_per_s": 64.0}))
    view = build_budget_view(recipe("steps = 20"), summary, charged_s=100.0)
    assert (view.progress, view.remaining_s, view.projected_step) == (0.5, 5.0, 20)


def test_a_budget_of_sequences_projects_both() -> None:
    summary = summary_of(step(10, charged_s=100).model_copy(update={"sequences": 320, "sequences_per_s": 64.0}))
    view = build_budget_view(recipe("sequences = 960"), summary, charged_s=100.0)
    assert (view.remaining_s, view.projected_step) == (10.0, 30)


@pytest.mark.parametrize("budget", ["steps = 20", "sequences = 640", "hours = 1.0"])
def test_nothing_is_projected_before_there_is_a_speed(budget: str) -> None:
    view = build_budget_view(recipe(budget), JournalSummary(), charged_s=0.0)
    assert view.spent == 0
    assert (view.remaining_s is None) == (budget != "hours = 1.0")


def test_nothing_remains_of_a_run_that_was_stopped() -> None:
    end = EndRecord(t=0, step=8, sequences=256, charged_s=8, reason="stopped", detail="x")
    view = build_budget_view(recipe("steps = 20"), summary_of(end), charged_s=8.0)
    assert (view.remaining_s, view.projected_step, view.progress) == (0.0, 8, 0.4)
