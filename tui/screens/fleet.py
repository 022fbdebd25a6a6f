"""View of several daemons, a line each; Enter shows one of them, and the keys then act there."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.message import Message

from tui.display_options import DisplayOptions
from tui.drawing.lines import Line, Role, Span
from tui.panels import fleet, footer
from tui.panels.footer import KeyHint
from tui.screens.base import StatusScreen
from tui.snapshot import Snapshot
from tui.widgets.scroller import Scroller
from tui.written_view import Table

_GUTTER = 2
_HEADING_LINES = 2


class DaemonList(Scroller):
    """One line per daemon, with a cursor."""

    class Opened(Message):
        """Enter was pressed on a daemon."""

        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter", "open", "Show this daemon", show=False)]

    def __init__(self) -> None:
        super().__init__(fleet.draw, id="fleet")
        self._at = -1

    @property
    def drawn_size(self) -> tuple[int, int]:
        """The size without the cursor's column."""
        width, height = super().drawn_size
        return width - _GUTTER, height

    @property
    def _names(self) -> list[str]:
        return [one.name for one in fleet.list_members(self._newest[0])] if self._newest is not None else []

    def update(self, snapshot: Snapshot, options: DisplayOptions) -> None:
        """Show a snapshot; at first the cursor is on the daemon that is shown."""
        names = [one.name for one in fleet.list_members(snapshot)]
        if self._at < 0:
            self._at = names.index(snapshot.host) if snapshot.host in names else 0
        super().update(snapshot, options)

    def compose_lines(self, drawn: list[Line]) -> list[Line]:
        """The visible lines with the cursor; scrolls to keep the cursor visible."""
        top, rows = drawn[:_HEADING_LINES], drawn[_HEADING_LINES:]
        room = max(1, self.size.height - _HEADING_LINES)
        first = max(0, min(self._at - room // 2, len(rows) - room))
        blank, mark = Span(" " * _GUTTER), Span("> ", Role.KEY)
        marked = [
            Line((mark if number == self._at else blank, *row.spans))
            for number, row in enumerate(rows[first : first + room], first)
        ]
        heads = [Line((blank, *one.spans)) if number else one for number, one in enumerate(top)]
        return [*heads, *marked]

    def action_move(self, by: int) -> None:
        """Move the cursor by `by` lines."""
        self._at = max(0, min(len(self._names) - 1, self._at + by))
        self.redraw()

    def action_open(self) -> None:
        """Show the daemon under the cursor."""
        names = self._names
        if names:
            self.post_message(self.Opened(names[self._at]))


class FleetScreen(StatusScreen):
    """All daemons that this dashboard follows."""

    def __init__(self) -> None:
        super().__init__()
        self._daemons = DaemonList()

    def compose(self) -> ComposeResult:
        yield self._header
        yield self._daemons
        yield self._footer

    def on_mount(self) -> None:
        """Focus the list, so that the arrow keys move the cursor at once."""
        self._daemons.focus()

    @property
    def extra_keys(self) -> footer.KeyHints:
        return (KeyHint("enter", "show this daemon"),)

    def table(self) -> Table:
        """The daemons, with what a line says of each."""
        return fleet.fleet_table(self._newest[0]) if self._newest is not None else []
