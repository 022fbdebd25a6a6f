"""A timed run without time for another start ends at once, with an export and without a charge."""

from __future__ import annotations

import time

from bertd.records import BudgetRequest, BudgetUnit, CommandKind, JobState, StartupRecord
from bertd.run.journal import append_records
from bertd.run.ledger import LedgerState, write_ledger
from bertd.run.mailbox import post
from bertd.run.recipe.load import format_recipe, parse_recipe
from tests.jobs.fake_ranks import Plan
from tests.jobs.runner_box import RunnerBox, recipe_text

START_S = 20.0


def pause_with(box: RunnerBox, *, left_s: float) -> None:
    """Pause a run of an hour at step 7, whose start took START_S, with this much of its budget left."""
    recipe = parse_recipe(recipe_text().replace("steps = 20", "hours = 1"), name="fake")
    box.paths.recipe.write_text(format_recipe(recipe))
    box.start(Plan(hold_at=7))
    box.wait_for_record("step", count=7)
    box.post(CommandKind.PAUSE)
    assert box.outcome().state is JobState.PAUSED
    startup = StartupRecord(
        t=0, attempt=1, step=1, charged_s=1, choose_s=0, build_s=0, compile_s=0, first_step_s=0, total_s=START_S
    )
    append_records(box.paths.journal, [startup])
    charged_s = 3600 - left_s
    write_ledger(box.paths.ledger, LedgerState(closed_s=charged_s, ticked_s=charged_s))


def test_a_resume_without_time_for_a_start_ends_with_an_export_and_is_not_charged(box: RunnerBox) -> None:
    pause_with(box, left_s=15.0)

    outcome = box.run()

    assert outcome.state is JobState.DONE
    assert outcome.reason.startswith("the budget is spent: 15s of it were left, and to start again takes about 20s; ")
    (end,) = box.records("end")
    assert (end["reason"], end["step"], end["charged_s"], end["export"]) == ("budget", 7, 3585.0, "step-000000007")
    assert [record["name"] for record in box.records("export")] == ["step-000000007"]
    assert len(box.records("start")) == 1 and box.ledger.ticked_s == 3585.0


def test_with_time_for_a_start_the_run_trains_on(box: RunnerBox) -> None:
    pause_with(box, left_s=START_S + 600)
    box.start(Plan(hold_at=8))
    box.wait_for_record("start", count=2)
    box.wait_for_record("step", count=8)


def test_more_budget_that_waits_in_the_mailbox_counts_first(box: RunnerBox) -> None:
    pause_with(box, left_s=15.0)
    budget = BudgetRequest(unit=BudgetUnit.HOURS, amount=2)
    post(box.paths.control, verb=CommandKind.BUDGET, asked_by="a test", now=time.time(), budget=budget)
    box.start(Plan(hold_at=8))
    box.wait_for_record("step", count=8)


def test_a_stop_is_done_by_the_end_and_answered(box: RunnerBox) -> None:
    pause_with(box, left_s=15.0)
    box.post(CommandKind.STOP)

    assert box.run().state is JobState.DONE
    assert box.records("end")[0]["reason"] == "stopped"
    assert (box.records("command")[-1]["verb"], box.records("command")[-1]["outcome"]) == (CommandKind.STOP, "done")


def test_an_export_that_fails_ends_as_failed_and_the_next_resume_tries_again(box: RunnerBox) -> None:
    pause_with(box, left_s=15.0)

    outcome = box.run(Plan(export_exit_code=74))
    assert (outcome.state, outcome.exit_code) == (JobState.FAILED, 74)
    assert "its export failed with exit code 74" in outcome.reason
    assert box.run().state is JobState.DONE
