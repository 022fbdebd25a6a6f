"""Shows a LogWindow: long lines wrapped, matches of a search marked, more of the log asked for at both ends."""

from __future__ import annotations

from bisect import bisect_left
from typing import ClassVar

from rich.cells import chop_cells
from textual.binding import Binding, BindingType
from textual.message import Message

from bertd.terminal_text import terminal_text
from tui.display_options import DrawFunction
from tui.drawing.lines import Line, Role, Span, line
from tui.log_filter import LogFilter
from tui.log_window import LogWindow
from tui.widgets.scroller import Scroller

_FAR = 1 << 40

Row = tuple[int, int, str]
"""Number of the line, number of the row within it, text."""


class LogPane(Scroller):
    """Scrolls by rows; stays on its line when lines are added before it."""

    class EndReached(Message):
        """The first (-1) or the last (1) row is in view and more of the log exists."""

        def __init__(self, side: int) -> None:
            super().__init__()
            self.side = side

    class EdgeWanted(Message):
        """The log's start is to be shown, or its end."""

        def __init__(self, *, at_start: bool) -> None:
            super().__init__()
            self.at_start = at_start

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("n", "next_match(1)", "Next match", show=False),
        Binding("N", "next_match(-1)", "Previous match", show=False),
    ]

    def __init__(self, draw: DrawFunction, *, id: str) -> None:
        super().__init__(draw, id=id, follows_end=True)
        self.window = LogWindow()
        self.search = ""
        self.filter_lines = LogFilter()
        self._top: tuple[int, int] = (0, 0)
        """Line and row within it that is first on the screen, unless the end is followed."""
        self._cache: tuple[object, int, LogFilter, list[Row]] = (None, 0, LogFilter(), [])

    @property
    def is_at_end(self) -> bool:
        """Whether new lines are shown as they come."""
        return self._follows_end

    def show_window(self, window: LogWindow, *, at_end: bool) -> None:
        """Show another part, at its end or at its start."""
        self.window, self._follows_end, self._top = window, at_end, (-_FAR, 0)

    def compose_lines(self, drawn: list[Line]) -> list[Line]:
        """The heading and the visible rows; a match is marked."""
        rows = self._wrapped_rows()
        first = self._first_row(rows)
        shown = [self._mark(text) for _, _, text in rows[first : first + self.rows]]
        return [*drawn[:1], *(shown or drawn[1:])]

    def action_move(self, by: int) -> None:
        """Scroll by rows; at an end, ask for more."""
        rows = self._wrapped_rows()
        last = max(0, len(rows) - self.rows)
        first = max(0, min(last, self._first_row(rows) + by))
        is_log_end = self.window.end >= self.window.size
        self._follows_end = first == last and by >= 0 and is_log_end
        self._top = rows[first][:2] if rows else (0, 0)
        self.redraw()
        if by < 0 and first == 0 and self.window.start > 0:
            self.post_message(self.EndReached(-1))
        elif by > 0 and first == last:
            self.post_message(self.EndReached(1))

    def action_home(self) -> None:
        """Go to the start of the log."""
        self.post_message(self.EdgeWanted(at_start=True))

    def action_end(self) -> None:
        """Go to the end of the log and follow it."""
        self.post_message(self.EdgeWanted(at_start=False))

    def show_line(self, number: int) -> None:
        """Make this line the first row, as far as lines follow it."""
        self._follows_end, self._top = False, (number, 0)
        self.redraw()

    def go_to_edge(self, *, at_start: bool) -> None:
        """Show the window's first rows, or its last ones and those to come."""
        self._follows_end, self._top = not at_start, (-_FAR, 0)
        self.redraw()

    async def action_next_match(self, by: int) -> None:
        """Go to the next line with the searched text; without a search, show the next run."""
        if not self.search:
            await self.app.run_action("next_run")
            return
        self.go_to_match(by)

    def go_to_match(self, by: int) -> bool:
        """Scroll so that the next match, or the previous one, is the first row; False if there is none."""
        rows = self._wrapped_rows()
        at = self._first_row(rows)
        wanted = self.search.casefold()
        order = range(at + 1, len(rows)) if by > 0 else range(at - 1, -1, -1)
        found = next((number for number in order if wanted in rows[number][2].casefold()), None)
        if found is None:
            return False
        self._follows_end = False
        self._top = rows[found][:2]
        self.redraw()
        return True

    def num_matches(self) -> int:
        """Rows of the window with the searched text."""
        wanted = self.search.casefold()
        return sum(wanted in text.casefold() for _, _, text in self._wrapped_rows()) if wanted else 0

    def _first_row(self, rows: list[Row]) -> int:
        last = max(0, len(rows) - self.rows)
        if self._follows_end:
            return last
        return min(bisect_left(rows, (*self._top, "")), last if not self.search else max(0, len(rows) - 1))

    def _wrapped_rows(self) -> list[Row]:
        lines, width = self.window.lines, max(1, self.size.width)
        if self._cache[0] is not lines or self._cache[1:3] != (width, self.filter_lines):
            rows = [
                (number, part, text)
                for number, one in self.window.whole_lines()
                if self.filter_lines.shows(one)
                for part, text in enumerate(wrap_log_line(one, width))
            ]
            self._cache = (lines, width, self.filter_lines, rows)
        return self._cache[3]

    def _mark(self, text: str) -> Line:
        at = text.casefold().find(self.search.casefold()) if self.search else -1
        if at < 0:
            return line(text)
        end = at + len(self.search)
        return line(text[:at], Span(text[at:end], Role.KEY), text[end:])


def wrap_log_line(text: str, width: int) -> list[str]:
    """The line as rows of at most `width` cells, with its control characters escaped."""
    text = text if text.isprintable() else terminal_text(text.expandtabs())
    if len(text) <= width and text.isascii():
        return [text]
    if text.isascii():
        return [text[at : at + width] for at in range(0, len(text), width)]
    return chop_cells(text, width) or [""]
