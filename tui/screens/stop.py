"""Dialog that asks for the job's name before a stop, which cannot be undone."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from bertd.api.models import JobView, RunView
from bertd.records import JobKind
from bertd.run.durations import format_duration
from bertd.terminal_text import terminal_line
from tui.widgets.form_error import FormError


class StopDialog(ModalScreen[bool]):
    """Returns True if the user typed the job's name."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(False)", "Keep running")]

    def __init__(self, job: JobView, run: RunView | None) -> None:
        """`run` is the run that the job trains; None for a finetuning."""
        super().__init__()
        self._job = job
        self._run = run
        self._expected_name = terminal_line(job.name)

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            name = self._run.id if self._run is not None else f"job {self._job.id}, {self._job.name}"
            yield Static(f"Stop {terminal_line(name)}?", classes="dialog-title", markup=False)
            yield Static(_consequence(self._job, self._run), markup=False)
            with Horizontal(classes="field"):
                yield Static("Type the name", classes="dialog-label")
                yield Input(id="name", placeholder=self._expected_name)
            yield FormError()
            yield Static("enter: stop the job, esc: keep it running", classes="dialog-note")

    @on(Input.Submitted)
    def confirm(self, event: Input.Submitted) -> None:
        """Return True if the name matches."""
        if event.value.strip() == self._expected_name:
            self.dismiss(True)
        else:
            self.query_one(FormError).show_message(f"That is not {self._expected_name}.")


def _consequence(job: JobView, run: RunView | None) -> str:
    if job.kind is not JobKind.PRETRAIN or job.started_t is None:
        return "The job is cancelled; its work so far is lost."
    left_s = run.budget.remaining_s if run is not None else None
    left = f" with {format_duration(left_s)} of its budget left" if left_s else ""
    return f"The job saves, validates, exports and ends for good{left}. To continue later, pause it instead (p)."
