"""`bert-tui` as a command: output, exit status, behaviour on terminals and pipes."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.fake_daemon import FakeDaemon
from tests.tui.fake_feed import simulated_snapshot
from tests.tui.replay.test_replay_feed import RECORDED
from tests.tui.terminal import Terminal
from tests.waiting import PATIENCE_S
from tui.app import _display_options, _parse_arguments, main


def _run(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tui", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False, **options)  # type: ignore[call-overload, no-any-return]  # Options pass through.


def test_once_prints_the_run_and_ends(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    socket = tmp_path / "d.sock"
    with FakeDaemon(socket, status=simulated_snapshot().status):  # type: ignore[arg-type]  # There is one.
        assert main(["--socket", str(socket), "--once"]) == 0
    text = capsys.readouterr().out
    for said in ("12-academic-large", "running", "41.7 % of 24h 00m", "Devices", "#15", "Events"):
        assert said in text
    assert "\x1b" not in text


@pytest.mark.parametrize("form", ["--once", "--json"])
def test_without_a_daemon_it_is_one_line_and_status_69(
    form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    socket = tmp_path / "none.sock"
    assert main(["--socket", str(socket), form]) == 69
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == (
        f"bert-tui: {socket}: no daemon listens there; start one with `bertd start`, or name its socket with --socket\n"
    )


def test_json_is_json_even_where_a_curve_has_a_gap(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--demo", "--json"]) == 0
    content = json.loads(capsys.readouterr().out, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert content["status"]["runs"][0]["id"] == "12-academic-large"
    assert None in [y for _, y in content["series"]["columns"]["loss"]]


def test_ascii_prints_ascii(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--demo", "--once", "--ascii"]) == 0
    assert capsys.readouterr().out.isascii()


def test_where_there_is_no_terminal_it_says_what_to_do() -> None:
    done = _run("--demo", stdin=subprocess.DEVNULL)
    assert done.returncode == 2
    assert done.stderr == "bert-tui: not a terminal; use --once, --plain or --json\n"


def test_a_terminal_that_draws_no_screen_is_told_what_to_do() -> None:
    with Terminal(["--demo"], columns=80, rows=24, environment={"TERM": "dumb"}) as terminal:
        output = terminal.read_until("--json")
        assert "TERM=dumb draws no screen; use --once, --plain or --json" in output
        assert "\x1b" not in output
        assert terminal.close() == 2


def test_two_forms_at_once_are_refused() -> None:
    done = _run("--once", "--json")
    assert done.returncode == 2
    assert "not allowed with" in done.stderr


def test_a_reader_that_leaves_early_gets_no_traceback() -> None:
    command = f"{sys.executable} -m tui --demo --plain | head -n 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert "12-academic-large running" in done.stdout
    assert done.stderr == ""


def test_on_a_terminal_it_shows_the_budget_and_q_gives_the_terminal_back() -> None:
    with Terminal(["--demo"], columns=80, rows=24) as terminal:
        output = terminal.read_until("of 24h 00m")
        assert "of 24h 00m" in output
        assert terminal.close() == 0


def test_sigterm_gives_the_terminal_back() -> None:
    with Terminal(["--demo"], columns=80, rows=24) as terminal:
        terminal.read_until("of 24h 00m")
        os.kill(terminal.pid, signal.SIGTERM)
        assert "\x1b[?1049l" in terminal.read_until("\x1b[?1049l")
        assert terminal.close() == 0


def test_a_lost_daemon_leaves_the_screen_up_and_q_still_works(tmp_path: Path) -> None:
    socket = tmp_path / "d.sock"
    with Terminal(["--socket", str(socket)], columns=80, rows=24) as terminal:
        assert "No daemon yet." in terminal.read_until("No daemon yet.")
        with FakeDaemon(socket, status=simulated_snapshot().status):  # type: ignore[arg-type]  # There is one.
            assert "live" in terminal.read_until("live")
        assert "daemon lost" in terminal.read_until("daemon lost")
        assert terminal.close() == 0


def test_the_shell_is_offered_each_option_of_the_help(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--help"]) == 0
    listed = set(re.findall(r"^ +(?:-\w, )?(--[a-z-]+)", capsys.readouterr().out, re.MULTILINE))
    for name, value in (("_BERT_TUI_COMPLETE", "complete_bash"), ("COMP_WORDS", "bert-tui --"), ("COMP_CWORD", "1")):
        monkeypatch.setenv(name, value)
    assert main([]) == 0
    assert {word for word in capsys.readouterr().out.splitlines() if word} == listed >= {"--once", "--socket"}


def test_the_dashboard_loads_no_compute_library_and_no_textual_to_print() -> None:
    code = (
        "import sys; from tui.app import _display_options, _parse_arguments, main; main(['--demo', '--once']); "
        "print(sorted({'torch', 'numpy', 'transformers', 'textual'} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE_S, check=True)
    assert done.stderr == "[]\n"


def test_the_screen_loads_no_compute_library() -> None:
    code = "import sys, tui.dashboard, tui.feed; print(sorted({'torch', 'numpy', 'transformers'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE_S, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    ("environment", "is_unicode"),
    [
        ({}, True),
        ({"LANG": "de_DE.UTF-8"}, True),
        ({"LC_ALL": "C", "LANG": "de_DE.UTF-8"}, False),
        ({"LC_CTYPE": "POSIX"}, False),
        ({"LANG": "C", "LC_CTYPE": "C.UTF-8"}, True),
        ({"TERM": "linux"}, False),
    ],
)
def test_a_terminal_without_unicode_gets_ascii(environment: dict[str, str], is_unicode: bool) -> None:
    options = _display_options(_parse_arguments([]), environment, encoding="utf-8")
    assert options.glyphs.is_braille is is_unicode


def test_a_replay_is_printed_as_it_ended(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--replay", str(RECORDED), "--once"]) == 0
    text = capsys.readouterr().out
    for said in ("1-recorded", "done", "replay 60x at the end", "validation 6.114", "budget at step 24"):
        assert said in text
    assert main(["--replay", str(RECORDED / "journal.jsonl"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["status"]["runs"][0]["end"]["step"] == 24


def test_a_folder_without_a_journal_is_one_line_and_status_65(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--replay", str(tmp_path), "--once"]) == 65
    said = capsys.readouterr()
    assert said.err == (
        f"bert-tui: {tmp_path}: this folder has no journal.jsonl; "
        "give the folder of a run, such as STATE/runs/7-first\n"
    )


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--replay", "r", "--demo"], "--replay needs no daemon"),
        (["--replay", "r", "--host", "box"], "--replay needs no daemon"),
        (["--speed", "10"], "--speed is of --replay RUN"),
        (["--replay", "r", "--speed", "0"], "'0' is no speed; give a number from 1 to 86400"),
        (["--replay", "r", "--speed", "nan"], "'nan' is no speed"),
    ],
)
def test_a_replay_has_no_daemon_and_a_speed(
    arguments: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert reason in capsys.readouterr().err


def test_the_speed_of_a_replay_may_be_written_as_it_is_shown() -> None:
    assert _parse_arguments(["--replay", "r", "--speed", "2.5x"]).speed == 2.5
    assert _parse_arguments(["--replay", "r"]).speed == 60.0
