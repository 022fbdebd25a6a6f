"""Asks for the run's name before a stop, which cannot be undone."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from bertd.records import RunView
from bertd.run.durations import format_duration
from bertd.terminal_text import terminal_line
from tui.widgets.problem import Problem


class StopDialog(ModalScreen[bool]):
    """True once the name was typed and entered."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(False)", "Keep running")]

    def __init__(self, run: RunView) -> None:
        super().__init__()
        self._run = run
        self._wanted = terminal_line(run.name)

    def compose(self) -> ComposeResult:
        left_s = self._run.budget.remaining_s
        left = f" with {format_duration(left_s)} of its budget left" if left_s else ""
        with Vertical(classes="dialog"):
            yield Static(f"Stop {terminal_line(self._run.id)}?", classes="dialog-title", markup=False)
            yield Static(
                f"It saves, validates, exports and ends for good{left}. To go on later, pause it instead (p).",
                markup=False,
            )
            with Horizontal(classes="field"):
                yield Static("Type its name", classes="dialog-label")
                yield Input(id="name", placeholder=self._wanted)
            yield Problem()
            yield Static("enter stops it, esc keeps it running", classes="dialog-note")

    @on(Input.Submitted)
    def confirm(self, event: Input.Submitted) -> None:
        """Stop if it is the name."""
        if event.value.strip() == self._wanted:
            self.dismiss(True)
        else:
            self.query_one(Problem).say(f"That is not {self._wanted}.")
