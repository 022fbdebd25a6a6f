"""Escape sequences in a name, a reason or an event do not reach the terminal.

Textual passes ESC through from every widget, so the tests check the bytes on a pseudo-terminal and the strips of every
dialog.
"""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest
from textual.pilot import Pilot

from bertd.api.models import StatusView
from bertd.errors import TransitionError
from tests.cli.fake_daemon import Answer, FakeDaemon, Request, frame
from tests.tui.fake_feed import FakeFeed
from tests.tui.screen_text import screen_segments, screen_text
from tests.tui.settled import settled
from tests.tui.terminal import Terminal
from tests.waiting import PATIENCE_S
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


_FREE_TEXTS = {
    *("name", "reason", "text", "message", "model", "folder", "detail", "health_text", "user", "task", "toml"),
    *("kernels", "kernels_reason", "attention", "attention_reason", "micro_batch_reason", "device_name", "drained_by"),
    *("state_dir", "bertd", "source", "metric", "export", "path"),
}
"""Fields that anyone may have written."""
_VIEWS = "023456781"
_DIALOGS = "pPcSfbn"
"""Not the help, which has the text of bindings alone."""


def _made_hostile(value: object, *, key: str = "") -> object:
    if isinstance(value, dict):
        return {each: _made_hostile(inner, key=each) for each, inner in value.items()}
    if isinstance(value, list):
        return [_made_hostile(each, key=key) for each in value]
    return f"{HOSTILE}{value}" if isinstance(value, str) and key in _FREE_TEXTS else value


class _HostileDaemon(FakeDaemon):
    """Every free text of every answer is hostile."""

    def answer(self, request: Request) -> Answer:
        answer = super().answer(request)
        return replace(answer, body=json.dumps(_made_hostile(json.loads(answer.body))).encode())


def _open_dialog(daemon: FakeDaemon, terminal: Terminal, key: str) -> str:
    """Press the key while the daemon's state is fresh, until its dialog is there."""
    output, end = "", time.monotonic() + PATIENCE_S
    while "esc" not in output and time.monotonic() < end:
        daemon.stream.put(frame(daemon.status))
        output += terminal.read_for(0.5).decode(errors="replace")
        terminal.press(key)
        output += terminal.read_for(2.0).decode(errors="replace")
    assert "esc" in output, f"{key} opened no dialog: {output[-2000:]!r}"
    return output


@pytest.mark.long
def test_no_view_and_no_dialog_lets_an_escape_sequence_through_to_a_terminal(tmp_path: Path) -> None:
    socket, status = tmp_path / "d.sock", _hostile_status()
    daemon = _HostileDaemon(socket, status=status, runs=status.runs, jobs=status.jobs)
    daemon.log = f"{HOSTILE}\n".encode() * 50
    with daemon, Terminal(["--socket", str(socket)], columns=140, rows=45) as terminal:
        output = terminal.read_until("\\x1b]52")
        for key in _VIEWS:
            terminal.press(key)
            output += terminal.read_until("\\x1b]52")
            output += terminal.read_for(0.5).decode(errors="replace")  # What the view asked for.
        for key in _DIALOGS:
            output += _open_dialog(daemon, terminal, key)
            terminal.press("\x1b")
            output += terminal.read_until("\\x1b]52")
    asked = {request.path.split("/")[-1] for request in daemon.requests}
    assert asked >= {"status", "log", "scores", "sweeps", "runs", "series"}
    for forbidden in ("\x1b]52", "aGFja2Vk\x07", "\x9b", "\u202e", "\x1b[31m"):
        at = output.find(forbidden)
        assert at < 0, f"{forbidden!r} in {output[max(0, at - 200) : at + 50]!r}"
