"""`bertd plan`: from the figures of a run that has trained, and from a rehearsal."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from bertd.cli.commands.planning.rehearsal import Rehearsal
from bertd.errors import DeviceError, StorageError
from bertd.run.journal import append_records
from bertd.run.paths import RunPaths
from bertd.run.recipe.load import format_recipe
from bertd.run.recipe.schema import Recipe
from tests.cli.conftest import Bertd
from tests.run.data_sets import write_manifest
from tests.run.plan.journals import SimulatedMachine, make_recipe
from tests.tiny_data import make_tiny_dataset
from tests.waiting import PATIENCE_S


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    return write_manifest(tmp_path / "shards", train=10_000_000)


def make_run(folder: Path, recipe: Recipe, *, until_s: float = 120.0) -> Path:
    """A run's folder with its recipe and its journal."""
    paths = RunPaths(folder)
    paths.root.mkdir()
    paths.recipe.write_text(format_recipe(recipe))
    append_records(paths.journal, SimulatedMachine().run(recipe, until_s=until_s))
    return folder


def test_a_plan_from_a_run_says_what_the_budget_buys(bertd: Bertd, tmp_path: Path, shards: Path) -> None:
    run = make_run(tmp_path / "7-demo", make_recipe("budget.hours=1"))

    said = bertd("plan", "demo", "--set", f"data.shards={shards}", "--budget", "2h", "--from", str(run))

    assert said.code == 0
    assert "2h 00m of demo on 2 x a simulated core" in said.out
    assert "steps of 16 sequences" in said.out
    for part in ("start", "compiling", "training", "validation", "saves", "end", "memory", "disk"):
        assert f"\n{part.ljust(11)}" in said.out
    assert "run 7-demo: 160.0 sequences/s" in said.out


def test_a_plan_as_json_has_every_figure(bertd: Bertd, tmp_path: Path, shards: Path) -> None:
    run = make_run(tmp_path / "7-demo", make_recipe("budget.hours=1"))

    said = bertd("plan", "demo", "--set", f"data.shards={shards}", "--budget", "2h", "--from", str(run), "--json")

    answer = json.loads(said.out)
    assert answer["total_s"] == pytest.approx(7200)
    assert answer["plan"]["steps"] == pytest.approx(7200 / 0.1, rel=0.15)
    assert answer["plan"]["measurements"]["sequences_per_s"] == pytest.approx(160)
    assert {warning["code"] for warning in answer["warnings"]} == {"repeated_data"}


def test_steps_are_planned_in_time(bertd: Bertd, tmp_path: Path, shards: Path) -> None:
    run = make_run(tmp_path / "7-demo", make_recipe("budget.hours=1"))

    said = bertd("plan", "demo", "--set", f"data.shards={shards}", "--until-steps", "5000", "--from", str(run))

    assert "5,000 steps of demo" in said.out
    assert "which take" in said.out


def test_two_budgets_are_refused(bertd: Bertd, shards: Path) -> None:
    said = bertd("plan", "demo", "--set", f"data.shards={shards}", "--until-steps", "5", "--budget", "1h")

    assert said.code == 2
    assert "not both" in said.err


def test_gpus_that_are_not_here_are_estimated_and_it_says_so(bertd: Bertd) -> None:
    said = bertd("plan", "fast", "--for", "24h", "--gpus", "8xA5000")

    assert said.code == 0
    assert "24h 00m of fast on 8 x A5000" in said.out
    assert "estimated from the data sheet of A5000" in said.out
    assert "nothing was measured" in said.out


@pytest.mark.parametrize("more", [["--devices", "h20-1"], ["--devices", "h200", "--from", "7"]])
def test_devices_that_are_unknown_or_measured_too_are_refused(more: list[str], bertd: Bertd) -> None:
    assert bertd("plan", "fast", *more).code == 2


def test_a_run_of_another_model_is_refused(bertd: Bertd, tmp_path: Path, shards: Path) -> None:
    run = make_run(tmp_path / "7-demo", make_recipe("model.layers=3"))

    said = bertd("plan", "demo", "--set", f"data.shards={shards}", "--from", str(run))

    assert said.code == 2
    assert "model.layers = 3, and this recipe 2" in said.err


def test_a_run_that_has_not_trained_is_refused(bertd: Bertd, tmp_path: Path, shards: Path) -> None:
    run = make_run(tmp_path / "7-demo", make_recipe(), until_s=0.0)

    said = bertd("plan", "demo", "--set", f"data.shards={shards}", "--from", str(run))

    assert "no steps were measured" in said.err
    assert said.code != 0


def test_a_folder_without_a_run_is_refused(bertd: Bertd, tmp_path: Path, shards: Path) -> None:
    said = bertd("plan", "demo", "--set", f"data.shards={shards}", "--from", str(tmp_path))

    assert "no journal there" in said.err
    assert said.code != 0


def tiny(folder: Path) -> Recipe:
    """A recipe whose steps take milliseconds."""
    shape = ("model.layers=1", "model.width=32", "model.heads=2", "model.ffn=64", "devices.count=1")
    small = ("data.sequence_length=32", "masking.max_predictions=8", "validation.max_sequences=16")
    return make_recipe(f"data.shards={make_tiny_dataset(folder)}", *shape, *small, "budget.hours=1")


def test_a_rehearsal_measures_and_leaves_nothing(tmp_path: Path) -> None:
    recipe = tiny(tmp_path)
    scratch, told = tmp_path / "scratch", list[str]()
    scratch.mkdir()

    measured = Rehearsal(scratch, measure_s=2.0, first_step_limit_s=PATIENCE_S, on_progress=told.append).measure(recipe)

    assert measured.sequences_per_s > 0
    assert measured.start_s > 0
    assert measured.num_devices == recipe.devices.count
    assert measured.step_sequences == recipe.batch.sequences
    assert measured.other_load is not None and measured.other_load >= 0
    assert [*scratch.iterdir()] == []
    assert len(told) == 2
    assert "bertd-plan-" not in subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout


def test_ranks_that_fail_are_told_with_their_words(tmp_path: Path) -> None:
    recipe = make_recipe("data.shards=/nowhere/at/all")

    with pytest.raises(DeviceError, match="ended with status 65: /nowhere/at/all: no data set"):
        Rehearsal(tmp_path, first_step_limit_s=PATIENCE_S).measure(recipe)


def test_a_scratch_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot write there"):
        Rehearsal(tmp_path / "nothing").measure(make_recipe())


@pytest.fixture
def priced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A configuration with a price, and no past runs."""
    (tmp_path / "config" / "bertd").mkdir(parents=True)
    (tmp_path / "config" / "bertd" / "bertd.toml").write_text("[power]\nprice = 0.25\n")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("BERTD_STATE", str(tmp_path / "state"))


@pytest.mark.usefixtures("priced")
@pytest.mark.parametrize("budget", ["14EUR", "€14", "14 €"])
def test_money_becomes_hours_by_the_configured_price(budget: str, bertd: Bertd) -> None:
    said = bertd("plan", "fast", "--budget", budget, "--devices", "h200-8", "--json")
    assert said.code == 0, said.err
    answer = json.loads(said.out)
    # 8 x 700 W are 5.6 kW, 1.4 EUR an hour.
    assert answer["plan"]["amount"] == pytest.approx(10.0, rel=1e-4)
    assert answer["energy"]["cost"] == pytest.approx(14.0, rel=1e-4)
    assert answer["energy"]["currency"] == "EUR"


@pytest.mark.usefixtures("priced")
def test_a_plan_says_energy_and_cost_and_whose_power_that_is(bertd: Bertd) -> None:
    said = bertd("plan", "fast", "--budget", "10h", "--devices", "h200-8")
    assert "energy     56.00 kWh, 14.00 EUR, at 700 W a device: the limit in its data sheet" in said.out


@pytest.mark.usefixtures("priced")
def test_money_in_another_currency_is_refused(bertd: Bertd) -> None:
    said = bertd("plan", "fast", "--budget", "14USD", "--devices", "h200-8")
    assert said.code == 2 and "the configured price is in EUR" in said.err


@pytest.mark.usefixtures("priced")
def test_money_on_a_device_of_unknown_power_is_refused(bertd: Bertd, tmp_path: Path, shards: Path) -> None:
    run = make_run(tmp_path / "7-demo", make_recipe("budget.hours=1"))
    said = bertd("plan", "demo", "--set", f"data.shards={shards}", "--budget", "3EUR", "--from", str(run))
    assert said.code == 2 and "no run has measured what a" in said.err


def test_money_without_a_price_is_refused_with_the_remedy(
    bertd: Bertd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    said = bertd("plan", "fast", "--budget", "20EUR", "--devices", "h200-8")
    assert said.code == 2
    assert "no price of electricity is configured" in said.err and "[power]" in said.err


def test_plans_are_compared_at_one_budget_and_one_is_recommended(bertd: Bertd) -> None:
    options = ("--budget", "24h", "--devices", "8xA5000", "--compare", "bert-base-24h", "--compare", "model.layers=6")
    said = bertd("plan", "fast", *options, "--json")
    assert said.code == 0, said.err
    answer = json.loads(said.out)
    assert [each["name"] for each in answer["plans"]] == ["fast", "bert-base-24h", "model.layers=6"]
    assert {each["total_s"] for each in answer["plans"]} == {86400.0}
    assert answer["recommendation"]["name"] == "fast"
    text = bertd("plan", "fast", *options).out
    assert "tokens per parameter" in text
    assert f"take fast: {answer['recommendation']['reason']}" in text


def test_what_is_compared_must_be_a_recipe_or_values(bertd: Bertd) -> None:
    said = bertd("plan", "fast", "--devices", "8xA5000", "--compare", "no-such-recipe")
    assert said.code == 2 and "no-such-recipe" in said.err
