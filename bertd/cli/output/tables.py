"""Format aligned columns and bars as plain text, in colour on a terminal that has it.

Not rich: importing it costs a tenth of the quarter second that `bertd status` may take.
"""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
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

_LAST_WIDTH = 24
"""Width that the last column, a text of any length, gets before another column is left out."""
_MIN_LAST_WIDTH = 8


def format_table(
    header: Sequence[str],
    rows: Sequence[Row],
    *,
    right: set[int],
    style: OutputStyle,
    shrink: dict[int, int] | None = None,
    drop: Sequence[int] = (),
) -> str:
    """Columns two spaces apart, which fit the terminal: some get narrower, then some are left out; the last is cut.

    Args:
        right: columns that are aligned to the right, such as numbers.
        shrink: columns that may be cut, such as names, and the least width of each.
        drop: columns that a narrow terminal lacks, the first to go first.
    """
    lines = [[Cell(title, (DIM,)) for title in header], *([_sanitize_cell(cell) for cell in row] for row in rows)]
    widths = {column: max(len(line[column].text) for line in lines) for column in range(len(header))}
    widths = _fit(widths, width=style.width, shrink=shrink or {}, drop=drop)
    return "\n".join(_format_row(row, widths=widths, right=right, style=style) for row in lines)


def _fit(widths: dict[int, int], *, width: int | None, shrink: dict[int, int], drop: Sequence[int]) -> dict[int, int]:
    """The columns that are shown, and their widths; the last one keeps what it needs up to _LAST_WIDTH."""
    if width is None:
        return widths
    for left_out in (None, *drop):
        widths = {column: cells for column, cells in widths.items() if column != left_out}
        last = max(widths)
        needed = sum(cells + 2 for column, cells in widths.items() if column != last) + min(widths[last], _LAST_WIDTH)
        narrower = dict(widths)
        for column, least in shrink.items():
            if column in narrower and needed > width:
                narrower[column] = max(min(least, widths[column]), widths[column] - (needed - width))
                needed -= widths[column] - narrower[column]
        if needed <= width:
            return narrower
    return narrower


def _sanitize_cell(cell: Cell | str) -> Cell:
    if isinstance(cell, str):
        return Cell(terminal_line(cell))
    return Cell(terminal_line(cell.text), cell.colors)


def _format_row(row: Sequence[Cell], *, widths: dict[int, int], right: set[int], style: OutputStyle) -> str:
    painted = []
    used = 0
    last = max(widths)
    for column, width in widths.items():
        cell = row[column]
        text = cell.text
        if column != last:
            text = _truncate(text, width)
        elif style.width is not None and used + len(text) > style.width:
            text = _truncate(text, max(_MIN_LAST_WIDTH, style.width - used))
        aligned = text.rjust(width) if column in right else text.ljust(width)
        painted.append(style.paint(aligned.rstrip() if column == last else aligned, *cell.colors))
        used += width + 2
    return "  ".join(painted).rstrip()


def _truncate(text: str, width: int) -> str:
    return text if len(text) <= width else text[: max(0, width - 3)] + "..."[:width]


def wrap_text(text: str, *, style: OutputStyle, indent: int) -> str:
    """The text in lines that fit the terminal, those after the first indented."""
    if style.width is None:
        return text
    # A long path stays one word, so that it can be selected; the terminal breaks it.
    lines = textwrap.wrap(text, max(style.width - indent, 20), break_long_words=False, break_on_hyphens=False) or [""]
    return ("\n" + " " * indent).join(lines)
