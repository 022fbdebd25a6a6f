"""All events that the dashboard has received."""

from __future__ import annotations

from textual.app import ComposeResult

from tui.panels import events
from tui.screens.base import StatusScreen
from tui.widgets.scroller import Scroller
from tui.widgets.search_bar import SearchBar
from tui.written_view import Table, events_table


class EventsScreen(StatusScreen):
    """A scrollable list of events that follows the newest."""

    def __init__(self) -> None:
        super().__init__()
        self.search_bar: SearchBar = SearchBar("show only the events with this text; esc shows all")

    def compose(self) -> ComposeResult:
        yield self._header
        yield Scroller(events.draw_all, id="all-events", follows_end=True)
        yield self.search_bar
        yield self._footer

    def table(self) -> Table:
        """All events."""
        return events_table(self._newest[0].events if self._newest is not None else [])
