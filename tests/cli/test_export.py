"""bertd.cli.export: finds the run's folder, and execs the program that exports with it."""

from __future__ import annotations

import os

import pytest

from bertd.records import JobKind
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


def test_a_folder_needs_no_daemon(bertd: Bertd, exec_calls: list[list[str]]) -> None:
    assert bertd("export", "./runs/a@b@5").code == 0
    assert bertd("export", "./runs/a@b@0.5").code == 0
    program = ["bertd.train.checkpoint.export_checkpoint", "./runs/a@b"]
    assert exec_calls == [[*program, "--step", "5"], [*program, "--marker", "0.5"]]


def test_a_finetuning_has_nothing_to_export(bertd: Bertd, daemon: FakeDaemon, exec_calls: list[list[str]]) -> None:
    daemon.jobs = [samples.job(8, kind=JobKind.FINETUNE)]

    said = bertd("export", "8")

    assert (said.code, exec_calls) == (65, [])
    assert said.err == "bertd: job 8: is a finetune and keeps no checkpoint; name its run 7-demo\n"
