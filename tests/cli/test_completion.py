"""bertd.cli.completion: what the shell offers at Tab."""

from __future__ import annotations

import contextlib
import importlib
import re
import sys
import time
from pathlib import Path

import pytest

from bertd.cli.forwarding import PROGRAMS
from bertd.cli.main import main
from bertd.records import GLUE_TASKS
from bertd.run.amounts.local_times import parse_past
from tests.cli.fake_daemon import FakeDaemon


def offers(line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The words that bash is offered at the end of the line."""
    words = line.split(" ")
    monkeypatch.setenv("_BERTD_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", str(len(words) - 1))
    monkeypatch.setattr(sys, "argv", ["bertd"])
    with pytest.raises(SystemExit):
        main()
    return [word for word in capsys.readouterr().out.splitlines() if word]


@pytest.fixture(autouse=True)
def socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BERTD_SOCKET", str(tmp_path / "bertd.sock"))


@pytest.mark.parametrize("verb", ["pause", "stop", "show", "logs", "wait", "hold", "release", "priority", "checkpoint"])
def test_jobs_are_offered_by_number_run_id_and_name(
    verb: str, daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert {"@", "7", "8", "7-demo", "demo"} <= set(offers(f"bertd {verb} ", monkeypatch, capsys))
    assert offers(f"bertd {verb} 7-", monkeypatch, capsys) == ["7-demo"]


@pytest.mark.parametrize("verb", ["budget", "finetune", "export", "scores"])
def test_runs_are_offered_where_a_run_is_meant(
    verb: str, daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert set(offers(f"bertd {verb} ", monkeypatch, capsys)) == {"@", "7", "7-demo", "demo"}


def test_recipes_keys_and_tasks_are_offered_without_a_daemon(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.toml").touch()
    (tmp_path / "mine.txt").touch()
    assert {"demo", "24hbert", "mine.toml"} <= set(offers("bertd submit ", monkeypatch, capsys))
    assert "mine.txt" not in offers("bertd submit m", monkeypatch, capsys)
    assert "optimizer.peak_lr=" in offers("bertd submit demo --set optimizer.p", monkeypatch, capsys)
    assert offers("bertd finetune @ --task ", monkeypatch, capsys) == list(GLUE_TASKS)
    assert offers("bertd show 7", monkeypatch, capsys) == []


def test_sweeps_are_offered_by_number_and_name_and_sweep_files_without_a_daemon(
    daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.toml").touch()
    assert set(offers("bertd sweeps ", monkeypatch, capsys)) == {"@", "3", "rates"}
    assert set(offers("bertd sweep ", monkeypatch, capsys)) == {"24hbert", "mine.toml"}


def test_verbs_are_offered_without_the_parameters_of_any(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert offers("bertd sh", monkeypatch, capsys) == ["show", "shutdown"]
    assert "--timeout" in offers("bertd wait --", monkeypatch, capsys)
    assert offers("bertd data pre", monkeypatch, capsys) == ["prepare"]


@pytest.mark.parametrize("verb", PROGRAMS)
def test_the_options_of_the_programs_behind_a_subcommand_are_offered(
    verb: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    line = f"bertd {verb} --" if verb in ("bench", "predict", "prove") else f"bertd data {verb} --"
    offered = set(offers(line, monkeypatch, capsys))
    program = importlib.import_module(PROGRAMS[verb])
    monkeypatch.setattr(sys, "argv", ["program", "--help"])
    with contextlib.suppress(SystemExit):
        program.main()
    # A line of the help has an option's names, and after two spaces or on the next line what it is.
    names = [line.strip().partition("  ")[0] for line in capsys.readouterr().out.splitlines()]
    shown = {name for line in names if line.startswith("-") for name in re.findall(r"--[a-z-]+", line)}
    assert {name for name in shown if not name.startswith("--no-")} == offered


@pytest.mark.parametrize("line", ["logs @ --since", "logs @ --until", "audit --since"])
def test_forms_of_a_time_are_offered(
    line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    offered = offers(f"bertd {line} ", monkeypatch, capsys)
    assert {"10min", "2h"} <= set(offered) and len(offered) == 5
    for text in offered:
        parse_past(text, now=time.time())
