"""Dialog with all keys."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

from tui.actions.keys import (
    APP_KEYS,
    CHART_KEYS,
    COMPARE_KEYS,
    DEVICE_KEYS,
    EVENT_KEYS,
    JOB_KEYS,
    LIST_KEYS,
    LOG_KEYS,
    MOVE_KEYS,
    QUEUE_KEYS,
    REPLAY_KEYS,
    VIEW_KEYS,
    KeyBinding,
    KeyChoices,
)
from tui.charts.event_marks import LEGEND
from tui.display_options import DisplayOptions

_ACTING = [
    ("Actions on the run, or on the job selected in Queue; each asks first", JOB_KEYS),
    ("Only in Queue (2)", [*QUEUE_KEYS, *MOVE_KEYS]),
    ("Only in Devices (6)", DEVICE_KEYS),
]
_REPLAY = [("The replay", REPLAY_KEYS)]
_LOOKING = [
    ("Views", VIEW_KEYS),
    ("Charts, in Run", CHART_KEYS),
    ("Only in Events (5)", EVENT_KEYS),
    ("Only in Log (4)", LOG_KEYS),
    ("Only in Compare (7)", COMPARE_KEYS),
    ("Lists, log and dialogs", LIST_KEYS),
    ("", APP_KEYS),
]
_NOTES = (
    f"Below the loss: {LEGEND}.",
    "A pasted text never acts. Priorities change without a question: each key undoes the other.",
    "Only running time is charged to the budget; pauses are not.",
)


class HelpScreen(ModalScreen[None]):
    """Closes on any of its keys; scrolls where it does not fit."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,enter", "dismiss", "Close"),
        Binding("question_mark,h,f1", "dismiss", "Close", id="help"),
        Binding("down,j", "scroll('scroll_down')", "Down", show=False),
        Binding("up,k", "scroll('scroll_up')", "Up", show=False),
        Binding("pagedown,space,ctrl+d,tab", "scroll('scroll_page_down')", "Page down", show=False),
        Binding("pageup,ctrl+u,shift+tab", "scroll('scroll_page_up')", "Page up", show=False),
        Binding("home,g", "scroll('scroll_home')", "To the start", show=False),
        Binding("end,G", "scroll('scroll_end')", "To the end", show=False),
    ]

    def __init__(self, options: DisplayOptions, *, is_replay: bool = False) -> None:
        super().__init__()
        self._keys = options.keys
        acting = _REPLAY if is_replay else [] if options.is_readonly else _ACTING
        self._sections = [*acting, *_LOOKING]

    def compose(self) -> ComposeResult:
        with VerticalScroll(classes="dialog", id="help"):
            for title, keys in self._sections:
                if title:
                    yield Static(title, classes="dialog-title")
                yield Static(
                    "\n".join(_key_line(key, self._keys) for key in keys if key.meaning),
                    classes="dialog-keys",
                    markup=False,
                )
            yield Static("\n".join(_NOTES), classes="dialog-note")

    def action_scroll(self, how: str) -> None:
        """Scroll the list of keys; at once, because animations cost bytes over ssh."""
        getattr(self.query_one("#help"), how)(animate=False)


def _key_line(key: KeyBinding, choices: KeyChoices) -> str:
    return f"{key.label_in(choices):>9}   {key.meaning}"
