"""`bertd --host user@box VERB`, over a real sshd on loopback."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from bertd.cli.remote_host import VERBS
from tests.cli.conftest import Bertd
from tests.cli.fake_daemon import FakeDaemon
from tests.cli.test_exit_codes import ARGUMENTS
from tests.ssh_server import SshServer, write_program


@pytest.fixture
def box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SshServer]:
    with SshServer(tmp_path / "box") as server:
        monkeypatch.setenv("PATH", f"{server.bin}:{os.environ['PATH']}")
        yield server


def test_a_subcommand_reads_and_acts_there(box: SshServer, tmp_path: Path, bertd: Bertd) -> None:
    there = tmp_path / "there.sock"
    with FakeDaemon(there) as daemon:
        local = bertd("jobs", "--socket", str(there))
        assert bertd("--host", f"box:{there}", "jobs") == local
        assert bertd(f"--host=box:{there}", "pause", "7").code == 0
        assert daemon.requests[-1].path == "/v1/jobs/7/pause"
        refused = bertd("--host", f"box:{there}", "show", "99")
    assert refused.code == 4


def test_an_error_names_the_other_machine_once_its_daemon_is_gone(box: SshServer, tmp_path: Path, bertd: Bertd) -> None:
    said = bertd("--host", f"box:{tmp_path}/none.sock", "status")
    assert said.code == 69
    assert said.err.startswith(f"bertd: box: no daemon answers on {tmp_path}/none.sock; start one there")


def test_a_failure_of_ssh_is_one_line_and_status_69(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bertd: Bertd
) -> None:
    write_program(tmp_path / "ssh", "echo 'ssh: Could not resolve hostname box' >&2; exit 255")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    said = bertd("--host", "box", "status")
    assert said.code == 69
    assert said.err == "bertd: box: ssh: ssh: Could not resolve hostname box; try `ssh box`\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--host"], "names no host"),
        (["--host", "box"], "no subcommand"),
        (["--host", "box", "submit", "demo"], "`ssh box bertd submit`"),
        (["--host", "box", "start"], "`ssh box bertd start`"),
        (["--host", "box", "jobs", "--socket", "/d.sock"], "--host box:/PATH"),
        (["--version-", "--host", "box"], "No such option"),
    ],
)
def test_what_cannot_act_there_is_refused_with_2(arguments: list[str], words: str, bertd: Bertd) -> None:
    said = bertd(*arguments)
    assert said.code == 2
    assert words in said.err


def test_the_subcommands_that_need_no_files_exist_and_ask_the_daemon() -> None:
    assert set(ARGUMENTS) >= VERBS
    assert set(ARGUMENTS) - VERBS == {
        *("submit", "finetune", "report", "export", "export-metrics", "evaluate", "sweep")
    }
