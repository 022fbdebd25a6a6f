"""Dialog before a stop, which cannot be undone."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from bertd.errors import BertdError
from bertd.records import JobKind
from bertd.terminal_text import terminal_line
from tui.actions.action_costs import CostRow, stop_costs
from tui.actions.host_text import on_host
from tui.screens.confirm import MoreCosts
from tui.widgets.cost_table import CostTable
from tui.widgets.form_error import FormError

if TYPE_CHECKING:
    from bertd.api.models import JobView, RunView

_MAX_NAME_CELLS = 30


class StopDialog(ModalScreen[bool]):
    """Returns True if the user typed the job's number, name or run id."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(False)", "Keep running")]

    def __init__(
        self, job: JobView, run: RunView | None, *, more_costs: MoreCosts | None = None, host: str = ""
    ) -> None:
        """`run` is the run that the job trains; None for a finetuning."""
        super().__init__()
        self._costs, self._more_costs = stop_costs(job, run), more_costs
        self._table = CostTable(self._costs)
        self._job, self._host = job, host
        self._run = run
        self._number = str(job.id)
        names = [job.name, run.id] if run is not None else [job.name]
        self._accepted = {self._number, *(terminal_line(name) for name in names)}

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            name = self._run.id if self._run is not None else f"job {self._job.id}, {self._job.name}"
            yield Static(terminal_line(on_host(f"Stop {name}?", self._host)), classes="dialog-title", markup=False)
            yield Static(_consequence(self._job), markup=False)
            yield self._table
            with Horizontal(classes="field"):
                yield Static("Type its name", classes="dialog-label")
                field = Input(id="name", placeholder=self._hint)
                field.cursor_blink = False
                yield field
            yield FormError()
            yield Static("enter: stop the job, esc: keep it running", classes="dialog-note")

    def on_mount(self) -> None:
        """Focus the field at once, so that keys typed ahead are the name."""
        self.set_focus(self.query_one(Input))
        self.ask_more()

    @work(group="costs")
    async def ask_more(self) -> None:
        """Add the rows that only the daemon knows."""
        if self._more_costs is None:
            return
        try:
            rows = await asyncio.to_thread(self._more_costs)
        except BertdError as error:
            rows = [CostRow("starts", f"not known: {error}")]
        if self.is_attached:
            self._table.show([*self._costs, *rows])

    @property
    def _hint(self) -> str:
        name = terminal_line(self._job.name)
        return f"{name}, or {self._number}" if len(name) <= _MAX_NAME_CELLS else f"its number {self._number} is enough"

    @on(Input.Submitted)
    def confirm(self, event: Input.Submitted) -> None:
        """Return True if the name matches."""
        if event.value.strip() in self._accepted:
            self.dismiss(True)
        else:
            self.query_one(FormError).show_message(f"That is not it; type {self._hint}.")


def _consequence(job: JobView) -> str:
    if job.kind is not JobKind.PRETRAIN or job.started_t is None:
        return "The job is cancelled; its work so far is lost."
    return "The job saves, validates, exports and ends for good. To continue later, pause it instead."
