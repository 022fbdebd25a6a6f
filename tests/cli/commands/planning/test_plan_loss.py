"""`bertd plan` on the loss: what finished runs of the recipe let expect, and the budget that reaches one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.commands.planning.test_plan import make_run
from tests.cli.conftest import Bertd
from tests.run.data_sets import write_manifest
from tests.run.forecast.test_earlier_runs import finish
from tests.run.plan.journals import make_recipe


@pytest.fixture
def plan_words(tmp_path: Path) -> list[str]:
    """A plan from a run beside which another one of the same recipe has finished."""
    shards = write_manifest(tmp_path / "shards", train=10_000_000)
    same = make_recipe(f"data.shards={shards}", "budget.steps=4000")
    finish(tmp_path / "runs" / "1-a", same)
    run = make_run(tmp_path / "runs" / "2-b", make_recipe(f"data.shards={shards}"))
    return ["plan", "demo", "--set", f"data.shards={shards}", "--from", str(run)]


def test_a_plan_says_what_loss_to_expect_and_by_which_run(bertd: Bertd, plan_words: list[str]) -> None:
    said = bertd(*plan_words, "--until-steps", "4000")
    assert "\nloss       about " in said.out and "1 finished run of this recipe: 1-a" in said.out.replace("\n", " ")

    longer = json.loads(bertd(*plan_words, "--until-steps", "16000", "--json").out)
    shorter = json.loads(bertd(*plan_words, "--until-steps", "4000", "--json").out)
    assert longer["expected_loss"]["loss"] < shorter["expected_loss"]["loss"]


def test_a_loss_is_planned_in_time(bertd: Bertd, plan_words: list[str]) -> None:
    answer = json.loads(bertd(*plan_words, "--until-loss", "1.6", "--json").out)
    assert answer["expected_loss"]["loss"] == pytest.approx(1.6, abs=0.01)
    assert answer["plan"]["unit"] == "steps" and answer["total_s"] > 100


def test_a_loss_that_no_budget_reaches_is_refused_with_the_runs(bertd: Bertd, plan_words: list[str]) -> None:
    said = bertd(*plan_words, "--until-loss", "0.01")
    assert said.code == 2 and "1-a" in said.err and "no budget" in said.err


def test_without_a_finished_run_the_loss_is_not_known(
    bertd: Bertd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BERTD_STATE", str(tmp_path / "state"))
    shards = write_manifest(tmp_path / "shards", train=10_000_000)
    run = make_run(tmp_path / "7-demo", make_recipe())
    words = ["plan", "demo", "--set", f"data.shards={shards}"]

    assert "not known: no run of this recipe" in bertd(*words, "--budget", "1h", "--from", str(run)).out
    said = bertd(*words, "--until-loss", "1.7")
    assert said.code == 2 and "let a short one run first" in said.err


@pytest.mark.parametrize("more", [["--budget", "1h"], ["--until-steps", "5"], ["--devices", "8xA5000"]])
def test_a_loss_is_a_budget_of_its_own(bertd: Bertd, more: list[str]) -> None:
    said = bertd("plan", "demo", "--until-loss", "1.7", *more)
    assert said.code == 2 and "--until-loss" in said.err
