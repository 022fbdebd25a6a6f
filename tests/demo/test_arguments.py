"""Wrong arguments and unusable folders give one clear line and an exit status."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from bertd.demo.__main__ import main, parse_arguments
from bertd.demo.private_daemon import PrivateDaemon, last_line
from bertd.demo.subprocesses import read_manifest, run_program
from bertd.errors import BertdError, DaemonError, ShardError


def test_the_budget_has_a_unit_and_the_folder_becomes_absolute(tmp_path: Path) -> None:
    assert parse_arguments(["--budget", "2min"]).budget_s == 120
    assert parse_arguments(["--budget", "90s", "--folder", str(tmp_path)]).folder == tmp_path
    assert parse_arguments([]).folder.is_absolute()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--budget", "two minutes"], "is not a duration; write a number and s, min, h or d"),
        (["--budget", "1s"], "too short to train anything; give 10s or more"),
        (["--source-mb", "0"], "not a number of megabytes"),
    ],
)
def test_a_wrong_argument_exits_2_and_says_why(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    with pytest.raises(SystemExit) as caught:
        parse_arguments(arguments)
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


def test_a_full_disk_is_one_line_and_74(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Usage:
        free = 5_000_000

    monkeypatch.setattr(shutil, "disk_usage", lambda folder: Usage)
    assert main(["--folder", str(tmp_path)]) == 74
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"demo: {tmp_path}: 5 MB are free, the demo needs 1,000 MB")


def test_a_folder_that_cannot_be_made_is_one_line_and_74(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert main(["--folder", str(tmp_path / "file" / "demo")]) == 74
    (line,) = capsys.readouterr().err.splitlines()
    assert "Not a directory; run the demo in a writable folder, or give another with --folder" in line


def test_a_deep_folder_gets_its_socket_elsewhere(tmp_path: Path) -> None:
    assert PrivateDaemon(tmp_path / "demo").socket == tmp_path / "demo" / "bertd.sock"
    deep = PrivateDaemon(tmp_path / ("d" * 100))
    assert len(str(deep.socket)) <= 107
    deep.__exit__(None, None, None)
    assert not deep.socket.parent.exists()


def test_a_daemon_that_exits_at_once_is_reported_with_its_last_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bertd.demo.private_daemon.sys.executable", "/bin/false")
    with (
        pytest.raises(DaemonError, match="the daemon exited with status 1: no output; its log is"),
        PrivateDaemon(tmp_path),
    ):
        pass


def test_a_failed_program_is_reported_with_its_last_line(tmp_path: Path) -> None:
    with pytest.raises(BertdError, match="python -m bertd.no_such_module: .*No module named") as caught:
        run_program("bertd.no_such_module", [], log=tmp_path / "log")
    assert type(caught.value) is BertdError
    assert last_line(tmp_path / "absent") == f"[Errno 2] No such file or directory: '{tmp_path}/absent'"


def test_a_missing_manifest_is_a_shard_error(tmp_path: Path) -> None:
    with pytest.raises(ShardError, match="no data set there"):
        read_manifest(tmp_path)
