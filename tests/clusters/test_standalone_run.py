"""`bertd train`: a run without a daemon, which the same command continues."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bertd.records import EndRecord, StartRecord, StateRecord, StepRecord
from bertd.run.journal import read_journal
from bertd.run.paths import RunPaths
from tests.cli.conftest import Bertd
from tests.clusters.tiny_recipe import TINY
from tests.jobs.runner_box import with_tests_on_path
from tests.waiting import PATIENCE_S, wait_for


@pytest.fixture
def recipe(tmp_path: Path, dataset: Path) -> Path:
    file = tmp_path / "tiny.toml"
    file.write_text(TINY.format(budget="steps = 150", shards=dataset))
    return file


def train(*arguments: str | Path, cwd: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "bertd", "train", *map(str, arguments)]
    return subprocess.Popen(command, cwd=cwd, env=with_tests_on_path(), stdout=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_a_signal_pauses_it_and_the_same_command_continues_it(recipe: Path, tmp_path: Path) -> None:
    paths = RunPaths(tmp_path / "tiny")
    first = train(recipe, cwd=tmp_path)
    wait_for(
        lambda: paths.journal.exists() and any(isinstance(each, StepRecord) for each in read_journal(paths.journal)),
        what="a step",
    )
    first.send_signal(signal.SIGTERM)
    said, _ = first.communicate(timeout=PATIENCE_S)
    assert first.returncode == 13, said
    assert "paused at step" in said
    second = train(recipe, cwd=tmp_path)
    said, _ = second.communicate(timeout=PATIENCE_S)
    assert second.returncode == 0, said
    records = read_journal(paths.journal)
    (pause,) = [record for record in records if isinstance(record, StateRecord)]
    assert [record.step for record in records if isinstance(record, StartRecord)] == [0, pause.step]
    assert isinstance(records[-1], EndRecord) and records[-1].step == 150
    # A run that is over is not begun again.
    third = train("--folder", paths.root, cwd=tmp_path)
    assert third.communicate(timeout=PATIENCE_S)[0].count("\n") == 2 and third.returncode == 0
    assert read_journal(paths.journal) == records


def test_a_run_keeps_its_recipe(recipe: Path, tmp_path: Path, bertd: Bertd) -> None:
    folder = tmp_path / "run"
    assert bertd("train", "--folder", str(folder)).err.startswith(f"bertd: {folder}: no run is there yet")
    folder.mkdir()
    (folder / "recipe.toml").write_text(recipe.read_text())
    said = bertd("train", str(recipe), "--folder", str(folder), "--set", "optimizer.peak_lr=0.5")
    assert said.code == 2
    assert "its run has [optimizer] peak_lr = 0.002, not 0.5" in said.err
    assert bertd("train", "--folder", str(folder), "--set", "optimizer.peak_lr=0.5").code == 2
    assert bertd("train").code == 2


def test_a_folder_with_a_journal_but_no_recipe_is_refused(recipe: Path, tmp_path: Path, bertd: Bertd) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "journal.jsonl").touch()
    said = bertd("train", str(recipe), "--folder", str(tmp_path / "run"))
    assert said.code == 65
    assert "has a journal but no recipe.toml" in said.err
