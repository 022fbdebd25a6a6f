"""What is wrong with an answer, below the form it was given in."""

from __future__ import annotations

from textual.widgets import Static

from bertd.terminal_text import terminal_line


class FormError(Static):
    """Takes no room until there is something to say."""

    def __init__(self) -> None:
        super().__init__(id="problem", markup=False)

    def show_message(self, text: str) -> None:
        """Show it."""
        self.update(terminal_line(text))
        self.add_class("-said")
