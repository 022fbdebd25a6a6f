"""Every key on one page."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Static

KEYS = [
    ("p", "pause the run at its next step, or resume it"),
    ("c", "save a checkpoint at the next step"),
    ("f", "finetune the run's newest export"),
    ("S", "stop the run for good: save, validate, export"),
    ("", ""),
    ("n", "next run"),
    ("y", "loss on a logarithmic axis"),
    ("z", "x axis: whole budget, or what is spent of it"),
    ("", ""),
    ("ctrl+p", "every action by name"),
    ("?", "this page"),
    ("q", "quit this view; training keeps running"),
]


class HelpScreen(ModalScreen[None]):
    """Closes with any of its keys."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,question_mark,q,h,f1,enter", "dismiss", "Close")]

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog", id="help"):
            yield Static("Keys", classes="dialog-title")
            for key, meaning in KEYS:
                yield Static(f"{key:>7}   {meaning}", markup=False)
            yield Static("Remaining budget is charged time: pauses and waiting are not counted.", classes="dialog-note")
            yield Static("esc closes", classes="dialog-note")
