"""A daemon of another machine through ssh: a real sshd on loopback, and stand-ins of ssh that fail."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from bertd.api.ssh_forward import RemoteHost, SshForward, parse_host
from bertd.errors import ClientError, DaemonUnreachableError
from tests.cli.fake_daemon import FakeDaemon
from tests.ssh_server import SshServer, write_program
from tests.waiting import wait_for


@pytest.fixture
def box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SshServer]:
    with SshServer(tmp_path / "box") as server:
        monkeypatch.setenv("PATH", f"{server.bin}:{os.environ['PATH']}")
        yield server


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return tmp_path / "ssh"


def _failure(host: RemoteHost) -> str:
    with SshForward(host) as forward, pytest.raises(DaemonUnreachableError) as caught:
        forward.open()
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "destination", "socket"),
    [
        ("box", "box", None),
        ("ada@box", "ada@box", None),
        ("ada@box:/run/user/7/bertd/bertd.sock", "ada@box", "/run/user/7/bertd/bertd.sock"),
        ("ada@::1", "ada@::1", None),
        ("ssh://ada@box:2222", "ssh://ada@box:2222", None),
        ("ssh://ada@box:2222/", "ssh://ada@box:2222", None),
        ("ssh://ada@box:2222/run/d.sock", "ssh://ada@box:2222", "/run/d.sock"),
    ],
)
def test_a_host_is_written_as_ssh_takes_it(text: str, destination: str, socket: str | None) -> None:
    assert parse_host(text) == RemoteHost(destination, socket)
    assert parse_host(RemoteHost(destination, socket).text) == RemoteHost(destination, socket)


@pytest.mark.parametrize("text", ["", "-oProxyCommand=x", "a b", "ssh://", "box:/a:b", "box:/a%d", "b\x1b[31m", "a/b"])
def test_what_is_no_host_or_no_plain_path_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"host|path"):
        parse_host(text)


@pytest.mark.parametrize("name", ["box", "inner"])
def test_it_reads_the_daemon_of_another_machine_also_through_a_jump_host(
    name: str, box: SshServer, tmp_path: Path
) -> None:
    there = tmp_path / "there.sock"
    with FakeDaemon(there) as daemon, SshForward(parse_host(f"{name}:{there}")) as forward:
        forward.open()
        assert forward.make_client().status() == daemon.status
        local = forward.socket.parent
        assert local.exists()
    assert not local.exists()
    assert "Starting session" not in box.log, "something was started on the other side"


def test_the_place_of_the_socket_need_not_be_named(box: SshServer, tmp_path: Path) -> None:
    there = tmp_path / "there.sock"
    with FakeDaemon(there) as daemon, SshForward(parse_host("box")) as forward:
        forward._candidates = [str(tmp_path / "nothing.sock"), str(there)]
        forward.open()
        assert forward.make_client().status() == daemon.status


def test_a_daemon_that_comes_later_is_found_on_the_same_connection(box: SshServer, tmp_path: Path) -> None:
    there = tmp_path / "there.sock"
    with SshForward(parse_host(f"box:{there}")) as forward:
        with pytest.raises(DaemonUnreachableError, match=f"box: no daemon answers on {there}; start one there"):
            forward.open()
        process = forward._process
        with FakeDaemon(there) as daemon:
            forward.open()
            assert forward._process is process
            assert forward.make_client().version() == daemon.status.version


def test_an_ended_ssh_is_started_again_and_its_end_explained(box: SshServer, tmp_path: Path) -> None:
    there = tmp_path / "there.sock"
    with FakeDaemon(there) as daemon, SshForward(parse_host(f"box:{there}")) as forward:
        forward.open()
        client, process = forward.make_client(), forward._process
        assert process is not None
        os.kill(process.pid, signal.SIGKILL)
        wait_for(lambda: process.poll() is not None, what="ssh to end")
        with pytest.raises(DaemonUnreachableError, match="^box: ssh: it ended with status -9"):
            client.version()
        forward.open()
        assert client.version() == daemon.status.version


def test_a_refused_key_is_said_in_the_words_of_ssh(box: SshServer) -> None:
    said = _failure(parse_host("stranger"))
    assert said.startswith("stranger: ssh: ")
    assert "Permission denied (publickey)" in said
    assert "log in once with `ssh stranger`, or give it a key with `ssh-add`" in said


def test_an_error_of_a_request_names_the_other_machine(box: SshServer, tmp_path: Path) -> None:
    there = tmp_path / "there.sock"
    with FakeDaemon(there) as daemon, SshForward(parse_host(f"box:{there}")) as forward:
        forward.open()
        daemon.raw_answer = b"no HTTP\r\n\r\n"
        with pytest.raises(ClientError, match="^box: not a bertd daemon") as caught:
            forward.make_client().status()
        assert str(forward.socket) not in str(caught.value)


def test_ssh_has_no_terminal_to_ask_on(stand_in: Path) -> None:
    write_program(stand_in, 'echo "password: " >/dev/tty || echo no terminal >&2; exit 255')
    said = _failure(parse_host("box"))
    assert said.startswith("box: ssh: ")
    assert "no terminal" in said


def test_only_the_last_words_are_shown_and_no_escape_sequence_of_a_banner(stand_in: Path) -> None:
    words = "i=0; while [ $i -lt 3000 ]; do echo line $i >&2; i=$((i+1)); done"
    write_program(stand_in, f"{words}; printf 'b\\033]52;c;x\\007anner\\nConnection refused\\n' >&2; exit 255")
    said = _failure(parse_host("box"))
    assert said == "box: ssh: b\\x1b]52;c;x\\x07anner Connection refused; try `ssh box`"


def test_an_ssh_that_says_nothing_is_reported_with_its_status(stand_in: Path) -> None:
    write_program(stand_in, "exit 3")
    assert _failure(parse_host("box")) == "box: ssh: it ended with status 3 and said nothing; try `ssh box`"


def test_where_there_is_no_ssh_the_remedy_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    said = _failure(parse_host("box"))
    assert said == "box: cannot start ssh: No such file or directory; install OpenSSH's client"


def test_an_ssh_that_hangs_is_given_up(stand_in: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bertd.api.ssh_forward.CONNECT_TIMEOUT_S", 0.05)
    write_program(stand_in, "exec sleep 1000")
    assert _failure(parse_host("box")) == "box: ssh did not connect in 0.05 s; try `ssh box`"
