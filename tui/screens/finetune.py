"""Dialog that queues a finetuning."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.suggester import SuggestFromList
from textual.widgets import Input, Static

from bertd.api.models import JobView, RunView, SubmitFinetune
from bertd.errors import BertdError
from bertd.records import GLUE_TASKS
from bertd.run.paths import expand_user
from bertd.terminal_text import terminal_line
from tui.widgets.form_error import FormError


class FinetuneForm(ModalScreen[JobView | None]):
    """Returns the queued job, or None if cancelled; stays open, with what was typed, while the daemon refuses."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)", "Cancel")]

    def __init__(self, run: RunView, submit: Callable[[SubmitFinetune], JobView]) -> None:
        super().__init__()
        self._run = run
        self._submit = submit

    def compose(self) -> ComposeResult:
        export = self._run.export
        source = f"from the export of step {export.step:,}" if export else "it has no export yet"
        with Vertical(classes="dialog"):
            yield Static(f"Finetune {terminal_line(self._run.id)}", classes="dialog-title", markup=False)
            yield Static(source, classes="dialog-note", markup=False)
            yield from _labeled_field(
                "Task", Input("cola", id="task", suggester=SuggestFromList(GLUE_TASKS), select_on_focus=False)
            )
            yield from _labeled_field(
                "Data folder", Input(id="data", placeholder="/data/glue, which holds CoLA/, ...", select_on_focus=False)
            )
            yield from _labeled_field("Learning rate", Input("5e-5", id="lr", select_on_focus=False))
            yield from _labeled_field("Epochs", Input("3", id="epochs", select_on_focus=False))
            yield FormError()
            yield Static("enter: queue the job, tab: next field, esc: cancel", classes="dialog-note")

    def on_mount(self) -> None:
        """Focus the first field at once, so that keys typed ahead are its text."""
        for field in self.query(Input):
            field.cursor_blink = False
        self.set_focus(self.query_one("#task", Input))

    @on(Input.Submitted)
    def submit(self) -> None:
        """Validate the fields; queue the job or show the problem."""
        task, data = self._value("task"), self._value("data")
        problem = self.query_one(FormError)
        if not task:
            problem.show_message(f"Enter a task, such as {GLUE_TASKS[0]}.")
            return
        if task not in GLUE_TASKS:
            problem.show_message(f"No task {task!r}; there are: {', '.join(GLUE_TASKS)}.")
            self.set_focus(self.query_one("#task", Input))
            return
        if not data:
            problem.show_message("Enter the data folder: the one that holds CoLA/ and the other tasks.")
            self.query_one("#data", Input).focus()
            return
        lr, epochs = _parse_number(self._value("lr")), _parse_number(self._value("epochs"))
        if lr is None or not 0 < lr < 1:
            problem.show_message("Learning rate: a number between 0 and 1, such as 5e-5.")
            return
        if epochs is None or epochs < 1 or epochs != int(epochs):
            problem.show_message("Epochs: a whole number, at least 1.")
            return
        data_dir = str(expand_user(data).absolute())
        problem.show_message("Sent, waiting for the answer.")
        self._send(SubmitFinetune(run=self._run.id, task=task, data_dir=data_dir, lr=lr, epochs=int(epochs)))

    @work(group="acting", exclusive=True)
    async def _send(self, job: SubmitFinetune) -> None:
        try:
            queued = await asyncio.to_thread(self._submit, job)
        except BertdError as error:
            self.query_one(FormError).show_message(str(error))
        else:
            self.dismiss(queued)

    def _value(self, field: str) -> str:
        return self.query_one(f"#{field}", Input).value.strip()


def _parse_number(text: str) -> float | None:
    """The number, or None if the text is not a finite number."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _labeled_field(label: str, field: Input) -> ComposeResult:
    with Horizontal(classes="field"):
        yield Static(label, classes="dialog-label")
        yield field
