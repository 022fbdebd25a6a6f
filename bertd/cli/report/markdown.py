"""Write a report as Markdown: the same tables; a chart is a table of a few of its points."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from bertd.cli.output import score_tables
from bertd.cli.report.document import Bar, Block, Chart, Code, Paragraph, Report, Table

_MAX_POINTS = 12


def write_markdown(report: Report) -> str:
    """The whole text."""
    parts = [f"# {_escape(report.title)}", _escape(report.subtitle)]
    for section in report.filled_sections():
        parts.append(f"## {_escape(section.title)}")
        parts += [text for block in section.blocks if (text := _block(block))]
    return "\n\n".join(parts) + "\n"


def _block(block: Block) -> str:
    match block:
        case Paragraph():
            return _escape(block.text)
        case Code():
            fence = "```"
            while fence in block.text:
                fence += "`"
            return f"{_escape(block.caption)}\n\n{fence}\n{block.text}\n{fence}"
        case Table():
            return _table(block.caption, block.headings, block.rows)
        case Bar():
            return ""
        case Chart():
            return _chart(block)


def _table(caption: str, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [_line(headings), score_tables.markdown_line("---" for _ in headings), *(_line(row) for row in rows)]
    return f"{_escape(caption)}\n\n" + "\n".join(lines)


def _chart(chart: Chart) -> str:
    tables = []
    for series in chart.series:
        points = [(x, y) for x, y in series.points if math.isfinite(y)]
        if not points or series.is_faint:
            continue
        stride = max(1, math.ceil(len(points) / (_MAX_POINTS - 1)))
        chosen = points[::stride]
        if chosen[-1] != points[-1]:
            chosen.append(points[-1])
        rows = [(f"{x:.1%}" if chart.is_x_share else f"{x:,.6g}", f"{y:.5g}") for x, y in chosen]
        tables.append(_table(f"{chart.title}: {series.name}", [chart.x_label, chart.y_label], rows))
    marks = [f"{number}. {_escape(mark.text)}" for number, mark in enumerate(chart.marks, start=1)]
    return "\n\n".join([*tables, "\n".join(marks)] if marks else tables)


def _line(cells: Iterable[str]) -> str:
    return score_tables.markdown_line(_escape(cell) for cell in cells)


def _escape(text: str) -> str:
    """Text in which no character has a meaning of its own, on one line."""
    escaped = score_tables.escape_markdown(" ".join(text.split()))
    return escaped.replace("&", "&amp;").replace("<", "&lt;").replace("`", "\\`").replace("[", "\\[")
