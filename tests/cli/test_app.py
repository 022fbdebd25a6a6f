"""bertd.cli.app: every subcommand has a help text, and every error is one line and a documented status."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import typer.main

import bertd as package
from bertd import errors
from bertd.api.models import ErrorView
from bertd.cli import app as app_module
from bertd.cli import exit_codes
from bertd.cli.commands import programs, query_commands
from bertd.cli.forwarding import FORWARD_ALL_ARGUMENTS
from bertd.errors import BertdError
from bertd.program import INTERNAL_FAULT
from tests.cli.conftest import Bertd
from tests.cli.fake_daemon import FakeDaemon
from tests.waiting import PATIENCE_S

VERBS = [
    command.name or command.callback.__name__
    for command in app_module.app.registered_commands
    # Those that become another program pass --help to it: tests/cli/commands/test_programs.py.
    if command.callback and command.context_settings != FORWARD_ALL_ARGUMENTS
]


def test_the_subcommands_of_the_design_exist() -> None:
    looking = {"status", "jobs", "show", "logs", "wait", "scores"}
    acting = {"pause", "resume", "checkpoint", "stop", "shutdown"}
    assert {"start", "submit", "finetune"} | looking | acting <= set(VERBS)
    assert {"prepare", "vocab", "fetch", "inspect", "verify"} == {
        command.name for command in programs.data_app.registered_commands
    }


def test_the_subcommands_of_groups_say_what_they_do_and_not_what_they_raise() -> None:
    for group, _ in app_module._GROUPS.values():
        for command in group.registered_commands:
            assert command.help and len(command.help.split()) > 3 and "Raises" not in command.help


@pytest.mark.parametrize("verb", VERBS)
def test_every_subcommand_says_what_it_does_and_what_its_options_mean(verb: str, bertd: Bertd) -> None:
    said = bertd(verb, "--help")
    assert said.code == 0
    assert f"Usage: bertd {verb}" in said.out
    assert "Raises" not in said.out
    group = typer.main.get_command(app_module.app)
    command = group.commands[verb]  # type: ignore[attr-defined]  # Typer's group, typed as a command
    assert len(command.help.split()) > 3
    for parameter in command.params:
        assert parameter.help, f"{verb}: {parameter.name} has no help"


def test_the_help_lists_the_exit_codes(bertd: Bertd) -> None:
    said = bertd("--help")
    for code, meaning in exit_codes.MEANINGS.items():
        assert f"{code}  {meaning}" in said.out


def test_every_error_has_a_documented_exit_code() -> None:
    for kind in vars(errors).values():
        if isinstance(kind, type) and issubclass(kind, BertdError):
            assert kind.exit_code in exit_codes.MEANINGS, kind


def test_the_version_is_printed(bertd: Bertd) -> None:
    assert bertd("--version").out == f"bertd {package.__version__}\n"


def test_an_error_is_one_line_and_its_exit_code(bertd: Bertd) -> None:
    said = bertd("status")
    assert said.code == 69
    assert said.err.startswith("bertd: ")
    assert said.err.count("\n") == 1
    assert "start one with `bertd start`" in said.err


def test_a_refusal_of_the_daemon_is_one_line_and_cannot_steer_the_terminal(bertd: Bertd, daemon: FakeDaemon) -> None:
    daemon.refusal = (409, ErrorView(code="TransitionError", message="job 7: \x1b[2Jdone\nalready"))
    said = bertd("pause", "7")
    assert said.code == 5
    assert said.err == "bertd: job 7: \\x1b[2Jdone already\n"


@pytest.mark.parametrize(
    "arguments", [["stauts"], ["status", "--jsn"], ["show", "1", "2"], ["wait", "--timeout", "3x"]]
)
def test_a_wrong_command_line_ends_with_2(arguments: list[str], bertd: Bertd) -> None:
    said = bertd(*arguments)
    assert said.code == 2
    assert "Usage: bertd" in said.err


def test_the_traceback_of_an_internal_error_is_kept_in_a_file(
    bertd: Bertd, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fault(_: Path | None) -> None:
        raise KeyError("boo\x1b")

    monkeypatch.setattr(query_commands, "connect", fault)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    said = bertd("scores")
    assert said.code == INTERNAL_FAULT
    assert said.err.startswith("bertd: internal error: KeyError: 'boo\\x1b'; please report it with ")
    assert "Traceback" not in said.err
    kept = Path(said.err.split()[-1])
    assert "Traceback" in kept.read_text()


def test_ctrl_c_ends_quietly_with_130(bertd: Bertd, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: Path | None) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(query_commands, "connect", interrupt)
    said = bertd("scores")
    assert (said.code, said.out, said.err) == (130, "", "")


# ---- As a process ----------------------------------------------------------------------------------


def _bertd(socket: Path, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "bertd", *arguments, "--socket", str(socket)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": ""},
    )


def test_a_reader_that_leaves_early_is_no_error_to_speak_of(daemon: FakeDaemon) -> None:
    daemon.log = b"step\n" * 500_000
    process = _bertd(daemon.socket, "logs", "7")
    assert process.stdout is not None
    assert process.stdout.readline() == b"step\n"
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == b""
    assert process.wait(PATIENCE_S) == 1


def test_a_reader_that_never_was_is_no_error_to_speak_of(daemon: FakeDaemon) -> None:
    """The output is small, so the broken pipe shows only when the buffer is flushed at the end."""
    read_end, write_end = os.pipe()
    os.close(read_end)
    ended = subprocess.run(
        [sys.executable, "-m", "bertd", "jobs", "--socket", str(daemon.socket)],
        stdout=write_end,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(write_end)
    assert ended.stderr == b""


def test_ctrl_c_ends_a_waiting_process_quietly_with_130(daemon: FakeDaemon) -> None:
    process = _bertd(daemon.socket, "wait", "7")
    has_asked = threading.Event()
    real_answer = daemon.answer

    def answer(request: object) -> object:
        has_asked.set()
        return real_answer(request)  # type: ignore[arg-type]  # passes through what it got

    daemon.answer = answer  # type: ignore[method-assign,assignment]  # a spy
    assert has_asked.wait(PATIENCE_S)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, out, err) == (130, b"", b"")


def test_text_that_the_terminals_encoding_lacks_is_escaped(daemon: FakeDaemon) -> None:
    daemon.jobs = [daemon.jobs[0].model_copy(update={"reason": "größer 模型"})]
    ended = subprocess.run(
        [sys.executable, "-m", "bertd", "jobs", "--socket", str(daemon.socket)],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        check=False,
    )
    assert ended.returncode == 0
    assert b"gr\\xf6\\xdfer \\u6a21\\u578b" in ended.stdout


def test_status_loads_nothing_that_it_could_do_without(daemon: FakeDaemon) -> None:
    """It must take at most 200 ms from the shell; these modules would take more than that."""
    code = "\n".join(
        [
            "import sys",
            f"sys.argv = ['bertd', 'status', '--socket', {str(daemon.socket)!r}]",
            "from bertd.cli.main import main",
            "try:",
            "    main()",
            "finally:",
            "    print(*sys.modules)",
        ]
    )
    listed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "7-demo" in listed.stdout
    unneeded = {"pydantic", "typer", "rich", "asyncio", "fastapi", "textual", "bertd.run.recipe.schema", "tomli_w"}
    assert unneeded.isdisjoint(listed.stdout.splitlines()[-1].split())


def test_help_does_not_wait_for_pydantic() -> None:
    listed = subprocess.run(
        [sys.executable, "-c", "import bertd.cli.app, sys; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert {"pydantic", "rich", "http.client", "fastapi"}.isdisjoint(listed.stdout.split())


def test_a_call_of_one_subcommand_has_the_same_help_and_suggestions_as_all(capsys: pytest.CaptureFixture[str]) -> None:
    texts = []
    for whole in (app_module.build_app(), app_module.build_app("status"), app_module.build_app("")):
        for words in (["--help"], ["shwo"]):
            with pytest.raises(SystemExit):
                whole(words, prog_name="bertd")
        captured = capsys.readouterr()
        texts.append(captured.out + captured.err)
    assert texts[0] == texts[1] == texts[2] and "shutdown" in texts[0]
