"""All events that the dashboard has received."""

from __future__ import annotations

from textual.app import ComposeResult

from tui.panels import events
from tui.screens.base import StatusScreen
from tui.widgets.scroller import Scroller


class EventsScreen(StatusScreen):
    """A scrollable list of events that follows the newest."""

    def compose(self) -> ComposeResult:
        yield self._header
        yield Scroller(events.draw, id="all-events", follows_end=True)
        yield self._footer
