"""Panel that scrolls below its heading."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType

from tui.display_options import DrawFunction
from tui.drawing.lines import Line
from tui.widgets.panel import Panel

_UNLIMITED_HEIGHT = 100_000


class Scroller(Panel):
    """Scrolls by keys; with `follows_end`, it stays at the end while lines are added."""

    can_focus = True
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "Up", show=False),
        Binding("down,j", "move(1)", "Down", show=False),
        Binding("pageup,ctrl+u", "page(-1)", "Page up", show=False),
        Binding("pagedown,ctrl+d,space", "page(1)", "Page down", show=False),
        Binding("home,g", "home", "To the start", show=False),
        Binding("end,G", "end", "To the end", show=False),
    ]

    def __init__(self, draw: DrawFunction, *, id: str, follows_end: bool = False) -> None:
        super().__init__(draw, id=id)
        self._first = 0
        """Index of the first visible line below the heading."""
        self._may_follow = self._follows_end = follows_end
        self._num_lines = 0
        self._wanted = ""
        """Only lines with this text are shown."""
        self._num_all = 0

    def filter(self, text: str) -> None:
        """Show only the lines with this text, whatever its case."""
        self._wanted = text.casefold()
        self.redraw()

    @property
    def filter_count(self) -> str:
        """How many lines are shown, of how many."""
        return f"{self._num_lines} of {self._num_all}"

    @property
    def rows(self) -> int:
        """Visible lines below the heading."""
        return max(1, self.size.height - 1)

    def compose_lines(self, drawn: list[Line]) -> list[Line]:
        """The heading and the visible lines."""
        heading, lines = drawn[:1], drawn[1:]
        self._num_all = len(lines)
        if self._wanted:
            lines = [one for one in lines if self._wanted in one.plain.casefold()]
        return self._visible_part([*heading, *lines])

    def _visible_part(self, drawn: list[Line]) -> list[Line]:
        heading, lines = drawn[:1], drawn[1:]
        self._num_lines = len(lines)
        last = max(0, len(lines) - self.rows)
        self._first = last if self._follows_end else min(self._first, last)
        return [*heading, *lines[self._first : self._first + self.rows]]

    @property
    def drawn_size(self) -> tuple[int, int]:
        """Unlimited height: all lines are drawn, then cut to the visible part."""
        return self.size.width, _UNLIMITED_HEIGHT

    def action_move(self, by: int) -> None:
        """Scroll by lines; follow the end again once it is reached."""
        last = max(0, self._num_lines - self.rows)
        self._first = max(0, min(last, self._first + by))
        self._follows_end = self._may_follow and self._first == last
        self.redraw()

    def action_page(self, by: int) -> None:
        """Scroll by screens."""
        self.action_move(by * max(1, self.rows - 1))

    def action_home(self) -> None:
        """Scroll to the first line."""
        self.action_move(-_UNLIMITED_HEIGHT)

    def action_end(self) -> None:
        """Scroll to the last line and follow the end."""
        self.action_move(_UNLIMITED_HEIGHT)
