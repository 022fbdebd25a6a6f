"""The demo's output: stages, facts, progress bars and results; plain lines if it is not a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from bertd.program import drawing
from bertd.terminal_text import terminal_line

_BAR_CELLS = 36
_PLAIN_WIDTH = 100


@dataclass(frozen=True)
class ComparisonRow:
    """One row of a comparison."""

    label: str
    value: float
    is_ours: bool


class DemoDisplay:
    """Prints the demo's output."""

    def __init__(self, *, num_stages: int) -> None:
        self.console = Console(highlight=False)
        if not self.console.is_terminal:
            self.console = Console(highlight=False, width=_PLAIN_WIDTH)
        self._num_stages = num_stages
        self._stage = 0

    @property
    def is_live(self) -> bool:
        """Whether lines can be redrawn."""
        return self.console.is_terminal

    @property
    def is_ascii(self) -> bool:
        """Whether the terminal's encoding lacks block characters."""
        return self.console.options.ascii_only

    def print_title(self, headline: str, detail: str) -> None:
        """Print the title panel."""
        text = Text.assemble((headline, "bold"), "\n", (detail, "dim"))
        self.console.print(Panel(text, border_style="cyan", expand=False, padding=(0, 2)))

    def begin_stage(self, name: str) -> None:
        """Print the heading of the next stage."""
        self._stage += 1
        self.console.print()
        self.console.print(Text.assemble((f"{self._stage}/{self._num_stages} ", "cyan"), (name, "bold")))

    def info(self, text: str) -> None:
        """Print one fact."""
        self.console.print(Text(f"    {terminal_line(text)}"), soft_wrap=True)

    def print_command(self, text: str, *, what: str) -> None:
        """Print a command that the user can paste into a second terminal."""
        self.console.print(Text.assemble(f"    {what} ", (terminal_line(text), "cyan")), soft_wrap=True)

    def warn(self, text: str) -> None:
        """Print a warning."""
        self.console.print(Text(f"    {terminal_line(text)}", "yellow"), soft_wrap=True)

    @contextmanager
    def progress_bar(self, label: str, *, total: float) -> Iterator[Progress]:
        """A progress bar over `total`; advance its only task, number 0."""
        columns = (
            TextColumn("    {task.description}"),
            BarColumn(bar_width=_BAR_CELLS),
            TaskProgressColumn(),
            TimeElapsedColumn(),
        )
        with (
            drawing(sys.stdout),
            Progress(*columns, console=self.console, transient=True, disable=not self.is_live) as progress,
        ):
            progress.add_task(escape(label), total=total)
            yield progress

    @contextmanager
    def spinner(self, label: str) -> Iterator[None]:
        if not self.is_live:
            yield
            return
        spinner = "line" if self.is_ascii else "dots"
        with drawing(sys.stdout), self.console.status(f"{escape(label)} ...", spinner=spinner):
            yield

    def compare(self, caption: str, rows: Sequence[ComparisonRow]) -> None:
        """Print a table of numbers, each with a bar that starts at zero."""
        top = max((row.value for row in rows), default=0.0)
        table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
        table.add_column(justify="left")
        table.add_column(justify="right")
        table.add_column(justify="left")
        for row in rows:
            style = "bold green" if row.is_ours else ""
            cells = round(_BAR_CELLS * max(0.0, row.value) / top) if top > 0 else 0
            bar = ("#" if self.is_ascii else "█") * cells
            table.add_row(
                Text(f"    {terminal_line(row.label)}", style),
                Text(f"{row.value:.3f}", style),
                Text(bar, "green" if row.is_ours else "dim"),
            )
        self.console.print(Text(f"    {caption}", "dim"))
        self.console.print(table)
