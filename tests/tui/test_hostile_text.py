"""Escape sequences in a name, a reason or an event do not reach the terminal.

Textual passes ESC through from every widget, so the tests check the bytes on a pseudo-terminal and the strips of every
dialog.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.pilot import Pilot

from bertd.api.models import StatusView
from bertd.errors import TransitionError
from tests.cli.fake_daemon import FakeDaemon
from tests.tui.fake_feed import FakeFeed
from tests.tui.screen_text import screen_segments, screen_text
from tests.tui.settled import settled
from tests.tui.terminal import Terminal
from tui.dashboard import Dashboard
from tui.display_options import DisplayOptions
from tui.plain_output import render_page, summary

HOSTILE = "n\x1b]52;c;aGFja2Vk\x07\x9b31m\u202e\r[@click=app.quit]x[/]"
SHOWN = "n\\x1b]52;c;aGFja2Vk\\x07\\x9b31m\\u202e\\x0d"


def _hostile_status() -> StatusView:
    """A status in which every text from outside is hostile."""
    status = FakeFeed().status
    run = status.runs[0].model_copy(update={"id": HOSTILE, "name": HOSTILE, "reason": HOSTILE, "model": HOSTILE})
    return status.model_copy(
        update={
            "runs": [run],
            "jobs": [job.model_copy(update={"name": HOSTILE, "reason": HOSTILE}) for job in status.jobs],
            "devices": [device.model_copy(update={"name": HOSTILE}) for device in status.devices],
            "events": [event.model_copy(update={"text": HOSTILE, "type": HOSTILE}) for event in status.events],
        }
    )


def _hostile_feed() -> FakeFeed:
    feed = FakeFeed()
    status = _hostile_status()
    feed.logs = {job.id: f"{HOSTILE}\n".encode() for job in status.jobs}
    feed.current = type(feed.current)(
        now=feed.current.now, link=feed.current.link, status=status, events=tuple(status.events)
    )
    return feed


def _controls(text: str) -> list[str]:
    """Terminal control characters, and the one that reverses the reading direction."""
    return [sign for sign in text if ord(sign) < 0x20 or 0x7F <= ord(sign) < 0xA0 or sign == "\u202e"]


async def _assert_clean(pilot: Pilot[None], app: Dashboard) -> None:
    await pilot.pause()
    assert not _controls("".join(segment.text for segment in screen_segments(app)))


@pytest.mark.parametrize("size", [(80, 24), (200, 60)])
async def test_no_panel_and_no_dialog_shows_a_control_character(size: tuple[int, int]) -> None:
    feed = _hostile_feed()
    feed.refusal = TransitionError(HOSTILE)
    app = Dashboard(feed, options=DisplayOptions())
    async with app.run_test(size=size, notifications=True) as pilot:
        await _assert_clean(pilot, app)
        assert SHOWN[:20] in screen_text(app)
        for key in ("S", "f"):
            await pilot.press(key)
            await _assert_clean(pilot, app)
            assert "[@click=app" in screen_text(app)
            await pilot.press("escape")
        for key in "2451":
            await pilot.press(key)
            await settled(pilot)
            await _assert_clean(pilot, app)
        await pilot.press("p")
        await settled(pilot)
        await _assert_clean(pilot, app)
        feed.lose(silent_s=1.0)
        feed.current = feed.current.__class__(
            now=feed.current.now, link=feed.current.link.__class__(feed.current.link.state, problem=HOSTILE)
        )
        app.show_newest()
        await _assert_clean(pilot, app)


def test_no_printed_form_holds_a_control_character() -> None:
    snapshot = _hostile_feed().current
    assert _controls(render_page(snapshot, DisplayOptions(), 100).replace("\n", "")) == []
    assert SHOWN in render_page(snapshot, DisplayOptions(), 200)
    assert _controls(summary(snapshot)) == []


def test_no_clipboard_write_reaches_a_terminal(tmp_path: Path) -> None:
    socket = tmp_path / "d.sock"
    with (
        FakeDaemon(socket, status=_hostile_status()) as daemon,
        Terminal(["--socket", str(socket)], columns=120, rows=40) as terminal,
    ):
        output = terminal.read_until("\\x1b]52")
        daemon.stream.put(None)
    assert "\\x1b]52" in output
    assert "\x1b]52" not in output
    assert "\x9b" not in output
    assert "\u202e" not in output
