"""bertd.cli.commands.scoring.export: finds the run's folder, and execs the program that exports with it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bertd.records import JobKind, KeptCheckpoint, KeptCheckpoints
from bertd.run.checkpoint_index import write_checkpoint_index
from bertd.run.paths import RunPaths
from tests.cli import samples
from tests.cli.conftest import Bertd
from tests.cli.fake_daemon import FakeDaemon


@pytest.fixture
def exec_calls(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Arguments of the programs that the command exec'd."""
    started: list[list[str]] = []
    monkeypatch.setattr(os, "execv", lambda _, argv: started.append(argv[3:]))
    return started


@pytest.mark.parametrize("name", ["7", "7-demo", "@"])
def test_a_run_by_any_of_its_names_is_exported_from_its_folder(
    name: str, bertd: Bertd, daemon: FakeDaemon, exec_calls: list[list[str]]
) -> None:
    assert bertd("export", name).code == 0
    assert bertd("export", f"{name}@120", "--out", "mine").code == 0

    program = ["bertd.train.checkpoint.export_checkpoint", "/state/runs/7-demo"]
    assert exec_calls == [program, [*program, "--step", "120", "--out", "mine"]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunPaths:
    """A run with a marker at half of its budget, which is step 7; the working folder is above it."""
    monkeypatch.chdir(tmp_path)
    run = RunPaths(tmp_path / "runs" / "a@b")
    run.checkpoints.mkdir(parents=True)
    kept = KeptCheckpoint(
        name="step-000000007",
        step=7,
        progress=0.5,
        size_bytes=1,
        validation_loss=None,
        markers=[0.5],
        reasons=["marker 0.5"],
    )
    write_checkpoint_index(run, KeptCheckpoints(checkpoints=[kept]))
    return run


def test_a_folder_needs_no_daemon(bertd: Bertd, exec_calls: list[list[str]], run: RunPaths) -> None:
    assert bertd("export", "./runs/a@b@5").code == 0
    assert bertd("export", "./runs/a@b@0.5").code == 0
    program = ["bertd.train.checkpoint.export_checkpoint", "./runs/a@b"]
    assert exec_calls == [[*program, "--step", "5"], [*program, "--step", "7"]]


def test_what_exists_is_refused_before_the_program_that_exports_starts(
    bertd: Bertd, exec_calls: list[list[str]], run: RunPaths, tmp_path: Path
) -> None:
    (run.checkpoints / "step-000000009").mkdir(parents=True)
    for name in ("step-000000009", "step-000000007"):
        (run.exports / name).mkdir(parents=True)
    for arguments in (
        [str(run.root)],
        [f"{run.root}@7"],
        [f"{run.root}@0.5"],
        [f"{run.root}@8", "--out", str(tmp_path)],
    ):
        said = bertd("export", *arguments)
        assert (said.code, "exists already; give another with --out FOLDER" in said.err) == (73, True), arguments
    assert exec_calls == []
    assert bertd("export", f"{run.root}@8", "--json").code == 0
    assert exec_calls[0][-1] == "--json"


def test_a_finetuning_has_nothing_to_export(bertd: Bertd, daemon: FakeDaemon, exec_calls: list[list[str]]) -> None:
    daemon.jobs = [samples.job(8, kind=JobKind.FINETUNE)]

    said = bertd("export", "8")

    assert (said.code, exec_calls) == (65, [])
    assert said.err == "bertd: job 8: is a finetune and keeps no checkpoint; name its run 7-demo\n"
