"""Several daemons in one dashboard, and one of another machine over ssh."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
from textual.screen import ModalScreen
from textual.widgets import Static

from bertd.api.models import StatusView
from bertd.errors import UnknownJobError
from tests.cli.fake_daemon import FakeDaemon
from tests.ssh_server import SshServer, write_program
from tests.tui.fake_feed import FakeFeed, simulated_snapshot
from tests.tui.screen_text import refreshed, screen_lines, screen_text
from tests.tui.settled import settled
from tests.tui.terminal import Terminal
from tests.waiting import PATIENCE_S
from tui import feed as feed_module
from tui.app import _parse_arguments, main
from tui.dashboard import Dashboard
from tui.display_options import DisplayOptions
from tui.fleet import FleetFeed
from tui.open_feed import LOCAL_NAME, open_feed
from tui.snapshot import Feed, Link, LinkState, Snapshot


def _status() -> StatusView:
    status = simulated_snapshot().status
    assert status is not None
    return status


def _fleet() -> tuple[FleetFeed, FakeFeed, FakeFeed]:
    near, far = FakeFeed(), FakeFeed()
    far.change_run(id="3-far")
    return FleetFeed({"near": near, "far": far}), near, far


@pytest.fixture
def box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SshServer]:
    with SshServer(tmp_path / "box") as server:
        monkeypatch.setenv("PATH", f"{server.bin}:{os.environ['PATH']}")
        yield server


async def test_the_fleet_has_a_line_for_each_daemon_and_enter_shows_one() -> None:
    fleet, near, far = _fleet()
    app = Dashboard(cast(Feed, fleet), options=DisplayOptions())
    async with app.run_test(size=(120, 40)) as pilot:
        assert near.is_started and far.is_started
        assert screen_lines(app)[0].startswith(" bertd near  12-academic-large")
        await pilot.press("0")
        rows = [line for line in screen_lines(app) if "● live" in line and "41.7 %" in line]
        assert len(rows) == 2
        assert rows[0].startswith(" > near") and rows[1].startswith("   far")
        assert "3-far" in rows[1] and "13h 58m" in rows[1] and "2.179" in rows[1] and "8/8" in rows[1]
        await pilot.press("down", "enter")
        await refreshed(pilot)
        assert screen_lines(app)[0].startswith(" bertd far  3-far")
        for key in ("c", "S", "f", "b", "n", "6 D"):
            await pilot.press(*key.split())
            assert isinstance(app.screen, ModalScreen)
            title = app.screen.query(Static).first().visual
            assert str(title).rstrip("?").endswith(" on far"), key
            await pilot.press("escape")
        await pilot.press("1", "c", "right", "enter")
        await settled(pilot)
    assert ("checkpoint", 12) in far.asked and not near.asked
    assert near.is_closed and far.is_closed


async def test_a_lost_daemon_keeps_its_line_with_the_time_since_it_was_seen() -> None:
    fleet, _, far = _fleet()
    far.lose(silent_s=12.0)
    far.current = replace(far.current, link=Link(LinkState.LOST, 12.0, 1.0, "far: ssh: Connection refused"))
    app = Dashboard(cast(Feed, fleet), options=DisplayOptions())
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("0")
        text = screen_text(app)
        assert "1 of 2 answer" in text
        assert "✗ lost 12s" in text
        assert "3-far" in text
        far.current = Snapshot(now=0.0, link=Link(LinkState.CONNECTING, problem="far: ssh: no route to host"))
        await refreshed(pilot)
        assert "far: ssh: no route to host" in screen_text(app)


async def test_one_daemon_is_a_fleet_of_one() -> None:
    app = Dashboard(FakeFeed(), options=DisplayOptions())
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("0")
        assert "1 of 1 answer" in screen_text(app)
        await pilot.press("enter")
        assert app.current_mode == "run"


def test_the_daemon_at_a_socket_can_be_beside_those_of_other_machines(tmp_path: Path) -> None:
    hosts = [word for host in ("a", "b@c:/s", "b@c:/t") for word in ("--host", host)]
    feed = open_feed(_parse_arguments(["--socket", str(tmp_path / "d.sock"), *hosts]))
    names = [member.name for member in feed.snapshot().fleet]
    feed.close()
    assert names == [LOCAL_NAME, "a", "b@c:/s", "b@c:/t"]


def test_a_daemon_over_ssh_is_followed_lost_and_followed_again(
    box: SshServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed_module, "FIRST_RETRY_S", 0.01)
    monkeypatch.setattr(feed_module, "MAX_RETRY_S", 0.05)
    there = tmp_path / "there.sock"
    feed = open_feed(_parse_arguments(["--host", f"box:{there}"]))
    assert isinstance(feed, feed_module.SocketFeed)
    feed.start()
    try:
        with FakeDaemon(there, status=_status()):
            assert feed.wait_until(lambda new: new.link.state is LinkState.LIVE, timeout_s=PATIENCE_S)
            assert feed.snapshot().host == "box"
            with pytest.raises(UnknownJobError, match="no such job"):
                feed.pause(12)
        lost = feed.wait_until(lambda new: "no daemon answers on" in new.link.problem, timeout_s=PATIENCE_S)
        assert lost and feed.snapshot().link.state is LinkState.LOST
        with FakeDaemon(there, status=_status()):
            assert feed.wait_until(lambda new: new.link.state is LinkState.LIVE, timeout_s=PATIENCE_S)
    finally:
        feed.close()


def test_once_shows_another_machine(box: SshServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    there = tmp_path / "there.sock"
    with FakeDaemon(there, status=_status()):
        assert main(["--host", f"box:{there}", "--once"]) == 0
    assert "bertd box  12-academic-large" in capsys.readouterr().out


def test_a_failure_of_ssh_is_on_the_screen_and_ends_once_with_69(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_program(tmp_path / "ssh", 'echo "ada@box: Permission denied (publickey,password)." >&2; exit 255')
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert main(["--host", "ada@box", "--once"]) == 69
    assert capsys.readouterr().err.startswith("bert-tui: ada@box: ssh: ada@box: Permission denied (publickey,password)")
    with Terminal(["--host", "ada@box"], columns=120, rows=24) as terminal:
        terminal.read_until("Permission denied (publickey,password)")
        assert terminal.close() == 0


@pytest.mark.parametrize("arguments", [["--host", "-x"], ["--host", "a", "--host", "b", "--once"]])
def test_what_is_no_host_and_several_for_one_page_are_refused(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert "host" in capsys.readouterr().err
