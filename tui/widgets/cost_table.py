"""What an action costs, as rows of a label and a text that wraps beside it."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text
from textual.widgets import Static

from bertd.terminal_text import terminal_line
from tui.actions.action_costs import CostRow

_LABEL_CELLS = 9


class CostTable(Static):
    """Hidden while it has no rows."""

    def __init__(self, rows: Sequence[CostRow] = (), *, id: str = "costs") -> None:
        super().__init__(id=id, markup=False)
        self._rows = tuple(rows)

    @property
    def rows(self) -> tuple[CostRow, ...]:
        """The rows that are shown."""
        return self._rows

    def on_mount(self) -> None:
        """Draw the first rows."""
        self.show(self._rows)

    def show(self, rows: Sequence[CostRow]) -> None:
        """Replace the rows."""
        self._rows = tuple(rows)
        self.display = bool(rows)
        table = Table.grid(padding=(0, 1), expand=True)
        table.add_column(width=_LABEL_CELLS)
        table.add_column(ratio=1)
        for row in rows:
            table.add_row(Text(row.label, style="dim"), Text(terminal_line(row.text)))
        self.update(table)
