"""What tests of actions share: a dashboard over a fake feed, and waiting for the answer to a key."""

from __future__ import annotations

from textual.pilot import Pilot
from textual.widgets import Input

from tests.tui.fake_feed import FakeFeed
from tests.tui.settled import settled
from tui.dashboard import Dashboard
from tui.display_options import DisplayOptions


def dashboard(feed: FakeFeed, *, is_readonly: bool = False) -> Dashboard:
    """The dashboard with a fake daemon."""
    return Dashboard(feed, options=DisplayOptions(is_readonly=is_readonly))


async def fill(pilot: Pilot[None], **values: str) -> None:
    """Type into the fields of the dialog and send it."""
    for field, value in values.items():
        pilot.app.screen.query_one(f"#{field}", Input).value = value
    await pilot.press("enter")
    await settled(pilot)


def said(app: Dashboard) -> str:
    """The message in place of the keys."""
    return app._message.text if app._message is not None else ""
