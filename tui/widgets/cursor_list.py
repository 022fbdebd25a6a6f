"""Scrollable list with a cursor; keys act on the row under the cursor."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Generic, TypeVar

from textual.binding import Binding, BindingType
from textual.message import Message

from tui.display_options import DisplayOptions, DrawFunction
from tui.drawing.lines import Line, Role, Span
from tui.snapshot import Snapshot
from tui.widgets.scroller import Scroller

_GUTTER = 2

K = TypeVar("K", bound=int | str)
"""What tells the rows apart: a job's number, a device's id."""


class CursorList(Scroller, Generic[K]):
    """One line per row below the heading; the cursor stays on its row when the order changes."""

    class Moved(Message):
        """The cursor moved to another row."""

    class Entered(Message):
        """Enter was pressed on a row."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter", "open", "Open", show=False)]

    def __init__(self, draw: DrawFunction, ids: Callable[[Snapshot], list[K]], *, id: str) -> None:
        """`ids` gives the rows in the order of the lines."""
        super().__init__(draw, id=id)
        self._ids = ids
        self._cursor_row = 0
        self._chosen: K | None = None

    @property
    def shown_ids(self) -> list[K]:
        """The rows, in the order of the lines."""
        return self._ids(self._newest[0]) if self._newest is not None else []

    def refresh_rows(self) -> None:
        """Draw again, after the rows changed without a new snapshot."""
        self._update_cursor(self.shown_ids)
        self.redraw()

    @property
    def chosen(self) -> K | None:
        """The row under the cursor."""
        return self._chosen

    @property
    def drawn_size(self) -> tuple[int, int]:
        """The size without the cursor's column."""
        width, height = super().drawn_size
        return width - _GUTTER, height

    def update(self, snapshot: Snapshot, options: DisplayOptions) -> None:
        """Show a snapshot; if the selected row is gone, select its neighbour."""
        self._update_cursor(self._ids(snapshot))
        super().update(snapshot, options)

    def compose_lines(self, drawn: list[Line]) -> list[Line]:
        """The visible lines with the cursor; scrolls to keep the cursor visible."""
        self._first = max(min(self._first, self._cursor_row), self._cursor_row - self.rows + 1)
        heading, *lines = self._visible_part(drawn)
        blank, mark = Span(" " * _GUTTER), Span("> ", Role.KEY)
        at = self._cursor_row if self._chosen is not None else -1
        marked = [
            Line((mark if number == at else blank, *line.spans)) for number, line in enumerate(lines, self._first)
        ]
        return [heading.fit(self.size.width - _GUTTER), *marked]

    def choose(self, id: K) -> None:
        """Put the cursor on this row."""
        self._chosen = id
        self._update_cursor(self.shown_ids)
        self.redraw()
        self.post_message(self.Moved())

    def action_move(self, by: int) -> None:
        """Move the cursor by `by` lines."""
        if self._newest is None:
            return
        self._cursor_row, self._chosen = self._cursor_row + by, None
        self._update_cursor(self._ids(self._newest[0]))
        self.redraw()
        self.post_message(self.Moved())

    def action_open(self) -> None:
        """Say that the row under the cursor is wanted."""
        if self._chosen is not None:
            self.post_message(self.Entered())

    def _update_cursor(self, ids: list[K]) -> None:
        if self._chosen in ids:
            self._cursor_row = ids.index(self._chosen)
        self._cursor_row = max(0, min(self._cursor_row, len(ids) - 1))
        self._chosen = ids[self._cursor_row] if ids else None
