"""Format aligned columns and bars as plain text, in colour on a terminal that has it.

Not rich: importing it costs a tenth of the quarter second that `bertd status` may take.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from bertd.terminal_text import terminal_line

GREEN, YELLOW, RED, CYAN, DIM, BOLD = "32", "33", "31", "36", "2", "1"


@dataclass(frozen=True)
class OutputStyle:
    """What the output can show."""

    width: int | None
    """Columns; None if lines are not cut, such as in a file."""
    has_color: bool
    has_unicode: bool

    def paint(self, text: str, *codes: str) -> str:
        """The text in a colour, if there are colours."""
        if not self.has_color or not codes:
            return text
        return f"\x1b[{';'.join(codes)}m{text}\x1b[0m"

    def bar(self, share: float, *, cells: int) -> str:
        """A bar that is `share` full."""
        full, empty = ("█", "░") if self.has_unicode else ("#", ".")
        filled = max(0, min(cells, round(share * cells)))
        return full * filled + empty * (cells - filled)

    @property
    def dash(self) -> str:
        """Placeholder for an unknown value."""
        return "–" if self.has_unicode else "-"


def detect_output_style() -> OutputStyle:
    """The style of standard output: NO_COLOR and dumb terminals get no colour, and lines in a file are not cut."""
    is_terminal = sys.stdout.isatty()
    return OutputStyle(
        width=shutil.get_terminal_size().columns if is_terminal else None,
        has_color=is_terminal and "NO_COLOR" not in os.environ and os.environ.get("TERM", "dumb") != "dumb",
        has_unicode="utf" in (sys.stdout.encoding or "").lower(),
    )


@dataclass(frozen=True)
class Cell:
    """One field of a table."""

    text: str
    colors: tuple[str, ...] = ()


Row = Sequence[Cell | str]


def format_table(header: Sequence[str], rows: Sequence[Row], *, right: set[int], style: OutputStyle) -> str:
    """Columns two spaces apart; the last one is cut at the edge of the terminal.

    Args:
        right: columns that are aligned to the right, such as numbers.
    """
    lines = [[Cell(title, (DIM,)) for title in header], *([_sanitize_cell(cell) for cell in row] for row in rows)]
    widths = [max(len(line[column].text) for line in lines) for column in range(len(header))]
    return "\n".join(_format_row(row, widths=widths, right=right, style=style) for row in lines)


def _sanitize_cell(cell: Cell | str) -> Cell:
    if isinstance(cell, str):
        return Cell(terminal_line(cell))
    return Cell(terminal_line(cell.text), cell.colors)


def _format_row(row: Sequence[Cell], *, widths: list[int], right: set[int], style: OutputStyle) -> str:
    painted = []
    used = 0
    for column, (cell, width) in enumerate(zip(row, widths, strict=True)):
        is_last = column == len(row) - 1
        text = cell.text
        if is_last and style.width is not None and used + len(text) > style.width:
            text = _truncate(text, max(8, style.width - used))
        aligned = text.rjust(width) if column in right else text.ljust(width)
        painted.append(style.paint(aligned.rstrip() if is_last else aligned, *cell.colors))
        used += width + 2
    return "  ".join(painted).rstrip()


def _truncate(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 3] + "..."
