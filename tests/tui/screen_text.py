"""Read a screen as text and as styled segments; compare it with stored snapshots."""

from __future__ import annotations

import os
from pathlib import Path

from rich.segment import Segment
from textual.app import App
from textual.pilot import Pilot

_SNAPSHOTS = Path(__file__).parent / "snapshots"


def screen_lines(app: App[None]) -> list[str]:
    """The lines of the screen, without trailing spaces."""
    return ["".join(segment.text for segment in strip).rstrip() for strip in app.screen._compositor.render_strips()]


def screen_text(app: App[None]) -> str:
    """The whole screen."""
    return "\n".join(screen_lines(app))


def screen_segments(app: App[None]) -> list[Segment]:
    """All segments of the screen with their styles, before filters."""
    return [segment for strip in app.screen._compositor.render_strips() for segment in strip]


async def refreshed(pilot: Pilot[None]) -> None:
    """Show the feed's newest state without waiting for the next update."""
    from tui.dashboard import Dashboard

    app = pilot.app
    assert isinstance(app, Dashboard)
    app.show_newest()
    await pilot.pause()


def assert_like_snapshot(text: str, name: str) -> None:
    """Compare with the stored snapshot; BERTD_UPDATE_SNAPSHOTS=1 replaces it. Check the change before you commit."""
    path = _SNAPSHOTS / f"{name}.txt"
    if os.environ.get("BERTD_UPDATE_SNAPSHOTS"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text + "\n")
    assert text + "\n" == path.read_text(), f"{path} differs; BERTD_UPDATE_SNAPSHOTS=1 replaces it"
