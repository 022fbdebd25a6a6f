"""bertd.clusters.slurm_script: what the script says, and that Slurm takes it, signals it and requeues it."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from bertd.clusters.slurm_script import SlurmOptions, format_slurm_time, slurm_array_script, slurm_script
from bertd.clusters.time_limit import PAUSE_S, START_S, limit_for
from bertd.clusters.train_command import ClusterRun
from bertd.errors import RecipeError
from bertd.records import EndRecord, JobState, StartRecord, StateRecord, StepRecord
from bertd.run.journal import read_journal
from bertd.run.ledger import read_ledger
from bertd.run.paths import RunPaths
from bertd.run.recipe.load import parse_recipe
from bertd.run.recipe.schema import Recipe
from tests.cli.conftest import Bertd
from tests.clusters.local_slurm import LocalSlurm, missing_for_slurm
from tests.clusters.tiny_recipe import TINY, tiny
from tests.waiting import wait_for

STEPS = 200


def run_of(recipe: Recipe) -> ClusterRun:
    return ClusterRun(recipe, "/recipes/tiny.toml", Path("/runs/my run"), ("run.name=tiny", "optimizer.peak_lr=1e-3"))


def script_of(recipe: Recipe, *, given_s: float | None = None, charged_s: float = 0.0) -> str:
    limit_s = limit_for(recipe.granted, charged_s=charged_s, given_s=given_s)
    return slurm_script(run_of(recipe), SlurmOptions(limit_s), budget=recipe.granted, charged_s=charged_s)


def test_the_limit_is_the_budget_left_and_the_start_and_the_save() -> None:
    budget = tiny().granted
    assert limit_for(budget, charged_s=0.0, given_s=None) == 7200 + START_S + PAUSE_S
    assert limit_for(budget, charged_s=3600.0, given_s=None) == 3600 + START_S + PAUSE_S
    assert limit_for(budget, charged_s=0.0, given_s=3600.0) == 3600
    assert "#SBATCH --time=0-02:10:00\n" in script_of(tiny())
    assert "# 2h 10m = 2h 00m left of the budget + 5m 00s for the start" in script_of(tiny())
    assert "# The limit is 1h 00m: each job continues" in script_of(tiny(), given_s=3600.0)
    assert format_slurm_time(86_400 + 61) == "1-00:02:00"


def test_a_budget_of_steps_needs_a_limit_and_a_limit_room_to_train() -> None:
    with pytest.raises(RecipeError, match="give --time-limit"):
        limit_for(tiny(budget="steps = 5").granted, charged_s=0.0, given_s=None)
    with pytest.raises(RecipeError, match="give 15m 00s or more"):
        limit_for(tiny().granted, charged_s=0.0, given_s=600.0)


def test_the_script_signals_the_shell_before_the_limit_and_asks_for_what_the_recipe_needs() -> None:
    script = script_of(tiny())
    assert f"#SBATCH --signal=B:USR1@{PAUSE_S:.0f}\n" in script
    assert "#SBATCH --cpus-per-task=1\n" in script
    assert "--folder '/runs/my run'" in script
    gpus = parse_recipe(TINY.format(budget="hours = 2", shards="/n"), name="g", overrides=["devices.kind=gpu"])
    assert "#SBATCH --gpus-per-node=1\n" in script_of(gpus)


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
def test_bash_takes_every_script() -> None:
    one, other = tiny(), tiny(budget="hours = 1")
    array = slurm_array_script("search", [run_of(one), run_of(other)], SlurmOptions(3600.0, at_once=1))
    several = script_of(one.model_copy(update={"devices": one.devices.model_copy(update={"nodes": 3})}))
    assert "#SBATCH --nodes=3\n" in several
    assert (
        'srun --nodes=2 --ntasks=2 --ntasks-per-node=1 --exclude="$first" bertd join "$first" --port 29400' in several
    )
    assert "#SBATCH --array=1-2%1\n" in array
    for script in (script_of(one), array, several):
        done = subprocess.run(["bash", "-n"], input=script, text=True, capture_output=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")


def test_settings_with_other_devices_are_no_array() -> None:
    more = parse_recipe(TINY.format(budget="hours = 2", shards="/n"), name="m", overrides=["devices.count=2"])
    with pytest.raises(RecipeError, match="make a sweep for each"):
        slurm_array_script("search", [run_of(tiny()), run_of(more)], SlurmOptions(3600.0))


def test_without_sbatch_submit_says_where_to_call_it(
    bertd: Bertd, tmp_path: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(TINY.format(budget="hours = 2", shards=dataset))
    monkeypatch.setenv("PATH", str(tmp_path))
    said = bertd("slurm", str(recipe), "--folder", str(tmp_path / "run"), "--submit")
    assert said.code == 69
    assert "sbatch: no such program here" in said.err


needs_slurm = pytest.mark.skipif(bool(missing_for_slurm()), reason=missing_for_slurm() or "-")


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalSlurm]:
    with LocalSlurm(tmp_path_factory.mktemp("slurm")) as slurm:
        yield slurm


@needs_slurm
def test_sbatch_accepts_what_is_printed(slurm: LocalSlurm) -> None:
    array = slurm_array_script("search", [run_of(tiny()), run_of(tiny())], SlurmOptions(3600.0, at_once=1))
    for script in (script_of(tiny()), array):
        said = slurm.call("sbatch", "--test-only", text=script)
        assert "to start at" in said.stderr


@pytest.mark.slow
@needs_slurm
def test_a_signal_pauses_the_run_and_the_requeued_job_ends_it(
    slurm: LocalSlurm, bertd: Bertd, tmp_path: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, paths = tmp_path / "tiny.toml", RunPaths(tmp_path / "runs" / "tiny")
    recipe.write_text(TINY.format(budget=f"steps = {STEPS}", shards=dataset))
    monkeypatch.setenv("SLURM_CONF", slurm.environment["SLURM_CONF"])
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    said = bertd("slurm", str(recipe), "--folder", str(paths.root), "--time-limit", "1h", "--submit")
    assert said.code == 0, said.err
    job = re.findall(r"\d+", said.out)[0]
    log = paths.root.parent / f"tiny-{job}.log"
    wait_for(lambda: _has_step(paths), what="a step of the first job")
    # As Slurm does before the limit.
    slurm.call("scancel", "--batch", "--signal=USR1", job)
    wait_for(lambda: any(isinstance(record, EndRecord) for record in _read(paths)), what="the end of the second job")
    wait_for(lambda: job not in slurm.call("squeue", "-h", "-t", "R,PD,CG").stdout, what="the end of the job")
    text = slurm.call("scontrol", "show", "job", job).stdout
    assert "JobState=COMPLETED" in text and "Restarts=1" in text, log.read_text() + slurm.read_log()
    _check_exact(paths)


def _read(paths: RunPaths) -> list[object]:
    return [*read_journal(paths.journal)] if paths.journal.exists() else []


def _has_step(paths: RunPaths) -> bool:
    return any(isinstance(record, StepRecord) for record in _read(paths))


def _check_exact(paths: RunPaths) -> None:
    """The second attempt has begun with the next step and with the time charged so far."""
    records = _read(paths)
    starts = [record for record in records if isinstance(record, StartRecord)]
    (pause,) = [record for record in records if isinstance(record, StateRecord)]
    (end,) = [record for record in records if isinstance(record, EndRecord)]
    assert pause.state is JobState.PAUSED and 0 < pause.step < STEPS
    assert [start.step for start in starts] == [0, pause.step]
    assert (end.step, end.sequences, end.reason) == (STEPS, STEPS * 8, "budget")
    # What was charged in the second job comes on top of what the pause had.
    assert pause.charged_s <= starts[1].charged_s < end.charged_s
    assert read_ledger(paths.ledger).ticked_s == pytest.approx(end.charged_s, abs=0.5)
