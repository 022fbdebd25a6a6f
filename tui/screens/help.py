"""Dialog with all keys."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Static

from tui.keys import APP_KEYS, JOB_KEYS, QUEUE_KEYS, VIEW_KEYS, KeyBinding

_SECTIONS = [
    ("Actions on the run, or on the job selected in the queue", JOB_KEYS + QUEUE_KEYS),
    ("Views", VIEW_KEYS),
    ("", APP_KEYS),
]


class HelpScreen(ModalScreen[None]):
    """Closes on any of its keys."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,question_mark,q,h,f1,enter", "dismiss", "Close")]

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog", id="help"):
            for title, keys in _SECTIONS:
                if title:
                    yield Static(title, classes="dialog-title")
                yield Static("\n".join(_key_line(key) for key in keys), classes="dialog-keys", markup=False)
            yield Static("Only running time counts against the budget; pauses do not.", classes="dialog-note")


def _key_line(key: KeyBinding) -> str:
    return f"{key.display_label:>8}   {key.meaning}"
