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
