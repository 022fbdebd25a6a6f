"""One line that takes a text to search or to filter by; hidden until it is opened."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Input, Static


class SearchBar(Horizontal):
    """Sends its text at each change; enter keeps it, escape clears it."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "close", "End the search", show=False)]

    class TextChanged(Message):
        """The text to search; empty: none."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    def __init__(self, hint: str) -> None:
        super().__init__(id="search", classes="band")
        self._input = Input(placeholder=hint, select_on_focus=False)
        self._input.cursor_blink = False
        self._count = Static(id="search-count", markup=False)
        self._return_to: Widget | None = None

    def show_count(self, text: str) -> None:
        """Say how much was found."""
        self._count.update(text)

    def compose(self) -> ComposeResult:
        yield Static("/ ", id="search-mark")
        yield self._input
        yield self._count

    def open(self) -> None:
        """Take the focus now, so that the keys after this one are the text."""
        if self.screen.focused is not self._input:
            self._return_to = self.screen.focused
        self.display = True
        self.screen.set_focus(self._input)

    def action_close(self) -> None:
        """Clear the text and hide."""
        self._input.value = ""
        self._leave()

    @on(Input.Changed)
    def search(self, event: Input.Changed) -> None:
        """Search while it is typed."""
        event.stop()
        self.post_message(self.TextChanged(event.value))

    @on(Input.Submitted)
    def keep(self, event: Input.Submitted) -> None:
        """Back to the lines; the text stays."""
        event.stop()
        self._leave()

    def _leave(self) -> None:
        self.display = bool(self._input.value)
        if self._return_to is not None:
            self.screen.set_focus(self._return_to)
