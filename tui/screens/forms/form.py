"""Base of the dialogs with fields: what is typed is checked as a whole, its costs are shown, and then it is sent."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar, Generic, TypeVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.suggester import SuggestFromList
from textual.timer import Timer
from textual.widgets import Input, Static

from bertd.errors import BertdError
from bertd.terminal_text import terminal_line
from tui.actions.action_costs import CostRow
from tui.actions.host_text import on_host
from tui.widgets.cost_table import CostTable
from tui.widgets.form_error import FormError

_ESTIMATE_AFTER_S = 0.3
"""After the last key: an estimate may ask the daemon."""

_R = TypeVar("_R")


class FieldError(Exception):
    """A field is wrong."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class Form(ModalScreen["_R | None"], Generic[_R]):
    """Returns the daemon's answer, or None if cancelled; stays open, with what was typed, while the daemon refuses."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)", "Cancel")]
    TITLE_TEXT = ""
    HINT = "enter: send, tab: next field, esc: cancel"

    def __init__(self, *, host: str = "") -> None:
        """`host` is the machine that it acts on, where it may be another one."""
        super().__init__()
        self._host = host
        self._estimate_timer: Timer | None = None
        self._table = CostTable()

    @abstractmethod
    def fields(self) -> ComposeResult:
        """The fields, each made by `labeled_field`."""

    @abstractmethod
    def read(self) -> Callable[[], _R]:
        """What sends the fields' content; called in another thread.

        Raises:
            FieldError: a field is wrong.
        """

    def read_estimate(self) -> Callable[[], Sequence[CostRow]] | None:
        """What asks for the costs of the fields' content, called in another thread; None for nothing to ask.

        Raises:
            FieldError: a field is wrong.
        """
        return None

    @property
    def notes(self) -> Sequence[str]:
        """Lines below the title."""
        return ()

    @property
    def title_text(self) -> str:
        return self.TITLE_TEXT

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog form"):
            yield Static(terminal_line(on_host(self.title_text, self._host)), classes="dialog-title", markup=False)
            for note in self.notes:
                yield Static(terminal_line(note), classes="form-note", markup=False)
            yield from self.fields()
            yield self._table
            yield FormError()
            yield Static(self.HINT, classes="dialog-note", markup=False)

    def on_mount(self) -> None:
        """Focus the first field at once, so that keys typed ahead are its text."""
        for field in self.query(Input):
            field.cursor_blink = False
        self.set_focus(self.query(Input).first())
        self.estimate()

    def value(self, field: str) -> str:
        """What a field has, without the spaces around it."""
        return self.query_one(f"#{field}", Input).value.strip()

    @on(Input.Changed)
    def estimate_soon(self) -> None:
        """Estimate when the typing stops."""
        self.query_one(FormError).remove_class("-said")
        if self._estimate_timer is not None:
            self._estimate_timer.stop()
        self._estimate_timer = self.set_timer(_ESTIMATE_AFTER_S, self.estimate)

    @work(group="costs", exclusive=True)
    async def estimate(self) -> None:
        """Show the costs of what is typed; what is not complete yet has none."""
        if not self.is_attached:
            return
        try:
            ask = self.read_estimate()
            rows = await asyncio.to_thread(ask) if ask is not None else ()
        except FieldError:
            rows = ()
        except BertdError as error:
            rows = (CostRow("refused", str(error)),)
        if self.is_attached:
            self._table.show(rows)

    @on(Input.Submitted)
    def submit(self) -> None:
        """Check the fields; send them or show the problem."""
        problem = self.query_one(FormError)
        try:
            send = self.read()
        except FieldError as error:
            problem.show_message(str(error))
            self.query_one(f"#{error.field}", Input).focus()
            return
        problem.show_message("Sent, waiting for the answer.")
        self.send(send)

    @work(group="acting", exclusive=True)
    async def send(self, call: Callable[[], _R]) -> None:
        """Send it in another thread; close if it was accepted."""
        try:
            answer = await asyncio.to_thread(call)
        except BertdError as error:
            if self.is_attached:
                self.query_one(FormError).show_message(str(error))
        else:
            self.dismiss(answer)


def labeled_field(
    label: str, id: str, value: str = "", *, placeholder: str = "", choices: Sequence[str] = ()
) -> ComposeResult:
    """A line with a label and a field that completes one of `choices`."""
    with Horizontal(classes="field"):
        yield Static(label, classes="dialog-label")
        yield Input(
            value,
            id=id,
            placeholder=placeholder,
            suggester=SuggestFromList(choices) if choices else None,
            select_on_focus=False,
        )
