"""All events that the dashboard has received; keys lead from one to the chart and to the log."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.message import Message

from tui.actions.keys import EVENT_KEYS
from tui.display_options import DisplayOptions
from tui.drawing.lines import Line
from tui.panels import events, footer
from tui.panels.footer import KeyHint
from tui.screens.base import StatusScreen
from tui.snapshot import Snapshot
from tui.widgets.cursor_list import CursorList
from tui.widgets.panel import Panel
from tui.widgets.search_bar import SearchBar
from tui.written_view import Table, events_table

if TYPE_CHECKING:
    from bertd.api.models import EventView

_LINES_OF_ONE = 4
"""The selected event's heading and the first rows of its text."""


class EventList(CursorList[int]):
    """The cursor begins at the newest event and stays with the newest until it is moved off it."""

    def update(self, snapshot: Snapshot, options: DisplayOptions) -> None:
        """Show a snapshot; at its end the cursor goes on to the newest event."""
        was_at_end = self._newest is None or self._chosen is None or self._chosen == self.shown_ids[-1:][0]
        ids = self._ids(snapshot)
        if was_at_end and ids:
            self._chosen = ids[-1]
        super().update(snapshot, options)


class EventsScreen(StatusScreen):
    """A list of events with a cursor, and the selected one in full."""

    class PointWanted(Message):
        """The point of the curves at this step is to be shown."""

        def __init__(self, run_id: str, step: int) -> None:
            super().__init__()
            self.run_id, self.step = run_id, step

    class LogWanted(Message):
        """A job's log is to be shown from this time on."""

        def __init__(self, job_id: int, t: float) -> None:
            super().__init__()
            self.job_id, self.t = job_id, t

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(key.keys, key.action, key.title, id=key.id) for key in EVENT_KEYS if key.action
    ]

    def __init__(self) -> None:
        super().__init__()
        self._wanted = ""
        self._list = EventList(self._draw, self._ids, id="all-events")
        self._details = Panel(self._draw_one, id="event")
        self.search_bar: SearchBar = SearchBar("show only the events with this text; esc shows all")

    def compose(self) -> ComposeResult:
        yield self._header
        yield self._list
        yield self.search_bar
        yield self._details
        yield self._footer

    def on_mount(self) -> None:
        """Focus the list, so that the arrow keys move the cursor at once."""
        self._details.styles.height = _LINES_OF_ONE
        self._list.focus()

    @property
    def extra_keys(self) -> footer.KeyHints:
        return (KeyHint("enter", "chart"), KeyHint("log-at-the-event", "log"))

    @on(CursorList.Moved)
    def show_chosen(self) -> None:
        """Show the event under the cursor."""
        self._details.redraw()

    @on(CursorList.Entered)
    def show_point(self) -> None:
        """Show where on the curves the event is."""
        event = self._chosen
        step = events.step_of(event) if event is not None else None
        if event is None or event.run_id is None or step is None:
            self.notify("This event has no step, so it has no place on the curves.")
            return
        self.post_message(self.PointWanted(event.run_id, step))

    def action_show_log(self) -> None:
        """Show the log of the event's job at its time."""
        event = self._chosen
        if event is None or event.job_id is None:
            self.notify("This event is of no job, so it has no log.")
            return
        self.post_message(self.LogWanted(event.job_id, event.t))

    def search(self, text: str) -> None:
        """Show only the events with this text."""
        self._wanted = text.casefold()
        self._list.refresh_rows()
        self._details.redraw()
        if self.search_bar is not None and self._newest is not None:
            num_all = len(events.listed(self._newest[0], ""))
            self.search_bar.show_count(f"{len(self._list.shown_ids)} of {num_all}" if text else "")

    @property
    def _chosen(self) -> EventView | None:
        known = self._newest[0].events if self._newest is not None else ()
        return next((event for event in known if event.id == self._list.chosen), None)

    def _ids(self, snapshot: Snapshot) -> list[int]:
        return [event.id for event in events.listed(snapshot, self._wanted)]

    def _draw(self, snapshot: Snapshot, options: DisplayOptions, width: int, height: int) -> list[Line]:
        return events.draw_list(snapshot, events.listed(snapshot, self._wanted), options, width)

    def _draw_one(self, snapshot: Snapshot, options: DisplayOptions, width: int, height: int) -> list[Line]:
        return events.draw_one(self._chosen, options, width)[:height]

    def table(self) -> Table:
        """All events."""
        return events_table(self._newest[0].events if self._newest is not None else [])
