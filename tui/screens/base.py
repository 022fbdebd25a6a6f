"""Base class of the full-screen views: the run on top, the keys or a message at the bottom."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.screen import Screen

from tui.display_options import DisplayOptions
from tui.drawing.lines import Line, Role, line, wrap_words
from tui.panels import footer, header
from tui.snapshot import Snapshot, find_job
from tui.widgets.canvas import ROLE_CLASSES
from tui.widgets.panel import Panel
from tui.widgets.scroller import Scroller
from tui.widgets.search_bar import SearchBar
from tui.written_view import Table, curves_table

if TYPE_CHECKING:
    from bertd.api.models import JobView

_MAX_MESSAGE_LINES = 4


@dataclass(frozen=True)
class Message:
    """What an action led to; it takes the place of the keys."""

    text: str
    role: Role = Role.STRONG


class StatusScreen(Screen[None]):
    """Gets the newest state once a second and passes it to its panels."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {*ROLE_CLASSES}

    def __init__(self) -> None:
        super().__init__()
        self._newest: tuple[Snapshot, DisplayOptions] | None = None
        self._message: Message | None = None
        self._header = Panel(header.draw, id="header", is_always_fresh=True)
        self._footer = Panel(self._draw_footer, id="footer", is_always_fresh=True)
        self.search_bar: SearchBar | None = None

    def update(self, snapshot: Snapshot, options: DisplayOptions) -> None:
        """Show a snapshot; only changed cells are repainted."""
        self._newest = (snapshot, options)
        for panel in self.query(Panel):
            panel.update(snapshot, options)

    def show_message(self, message: Message | None) -> None:
        """Show a message instead of the keys, in as many lines as it needs; None: the keys again."""
        self._message = message
        num_lines = len(self._message_lines(self.app.size.width - 2)) if message is not None else 1
        if self._footer.styles.height is None or self._footer.styles.height.value != num_lines:
            self._footer.styles.height = num_lines
        self._footer.redraw()

    @property
    def chosen_job_id(self) -> int | None:
        """The job that keys act on; None: the shown run's job."""
        return None

    def target_job(self, snapshot: Snapshot) -> JobView | None:
        """The job that keys act on."""
        chosen = self.chosen_job_id
        return snapshot.job if chosen is None else find_job(snapshot, chosen)

    def table(self) -> Table:
        """What `w` writes as CSV: the shown run's curves, or this view's rows."""
        return curves_table(self._newest[0].series) if self._newest is not None else []

    @property
    def extra_keys(self) -> footer.KeyHints:
        """This view's keys in addition to those of the run."""
        return ()

    def open_search(self) -> bool:
        """Take the next keys as the text to search; False if there is nothing to search here."""
        if self.search_bar is None:
            return False
        self.search_bar.open()
        return True

    @on(SearchBar.TextChanged)
    def on_search(self, event: SearchBar.TextChanged) -> None:
        """Search while it is typed."""
        self.search(event.text)

    def search(self, text: str) -> None:
        """Show only the lines with this text."""
        scroller = self.query_one(Scroller)
        scroller.filter(text)
        if self.search_bar is not None:
            self.search_bar.show_count(scroller.filter_count if text else "")

    def _draw_footer(self, snapshot: Snapshot, options: DisplayOptions, width: int, height: int) -> list[Line]:
        if self._message is not None:
            return self._message_lines(width)
        return footer.draw(snapshot, options, width, height, job=self.target_job(snapshot), extra_keys=self.extra_keys)

    def _message_lines(self, width: int) -> list[Line]:
        assert self._message is not None
        rows = wrap_words(self._message.text, width)
        return [line((row, self._message.role)) for row in rows[:_MAX_MESSAGE_LINES]]
