"""Error message of a form."""

from __future__ import annotations

from textual.widgets import Static

from bertd.terminal_text import terminal_line


class FormError(Static):
    """Hidden until it has a message."""

    def __init__(self) -> None:
        super().__init__(id="problem", markup=False)

    def show_message(self, text: str) -> None:
        self.update(terminal_line(text))
        self.add_class("-said")
