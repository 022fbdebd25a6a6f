"""Dialog before an action that the key alone should not start."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import ClassVar

from textual import events, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Static

from bertd.errors import BertdError
from bertd.terminal_text import terminal_line
from tui.actions.action_costs import CostRow
from tui.widgets.cost_table import CostTable

MoreCosts = Callable[[], Sequence[CostRow]]
"""Asks the daemon for rows, in another thread."""


class ConfirmDialog(ModalScreen[bool]):
    """Returns True if the user chose the action.

    "No" is chosen at first and any letter closes the dialog: whoever types into the wrong window, and ends the line
    with enter, changes nothing.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(False)", "No", show=False),
        Binding("left,right,up,down,tab,shift+tab", "switch", "Other choice", show=False),
        Binding("enter", "choose", "Choose", show=False),
    ]

    def __init__(
        self,
        *,
        question: str,
        verb: str,
        consequence: str,
        costs: Sequence[CostRow] = (),
        more_costs: MoreCosts | None = None,
    ) -> None:
        """`costs` are shown at once, and those of `more_costs` when the daemon has answered."""
        super().__init__()
        self._costs, self._more_costs = tuple(costs), more_costs
        self._table = CostTable(self._costs)
        self._question, self._verb, self._consequence = question, verb, consequence
        self._is_yes = False
        self._choices = Static(id="choices", markup=False)

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Static(terminal_line(self._question), classes="dialog-title", markup=False)
            yield Static(terminal_line(self._consequence), markup=False)
            yield self._table
            yield self._choices
            yield Static("left, right or tab: choose, enter: do it, esc: no", classes="dialog-note")

    def on_mount(self) -> None:
        """Draw the choices, and ask for the rest of the costs."""
        self._draw_choices()
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

    def action_switch(self) -> None:
        """Choose the other one."""
        self._is_yes = not self._is_yes
        self._draw_choices()

    def action_choose(self) -> None:
        """Return the choice."""
        self.dismiss(self._is_yes)

    def on_key(self, event: events.Key) -> None:
        """Close on a letter: the keys were meant for something else."""
        if event.is_printable:
            event.stop()
            self.dismiss(False)

    def _draw_choices(self) -> None:
        no, yes = ("  No  ", f"[ {self._verb} ]") if self._is_yes else ("[ No ]", f"  {self._verb}  ")
        self._choices.update(f"{no}   {yes}")
