"""A run's scores against the share of its budget: a row for each task, a column for each export. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bertd.cli.output.tables import OutputStyle, Row, format_table
from bertd.cli.output.views import name_start
from bertd.run.amounts.quantities import format_share
from bertd.scores.score_summary import TaskSummary

_LEVELS = "▁▂▃▄▅▆▇█"


def curves_text(summaries: Sequence[TaskSummary], *, shares: Mapping[str, float], style: OutputStyle) -> str:
    """A table for each run of which several exports have a score; empty if there is none."""
    runs = dict.fromkeys(each.source.partition("/")[0] for each in summaries if each.source in shares)
    return "\n\n".join(text for run in runs if (text := _curve_text(run, summaries, shares=shares, style=style)))


def _curve_text(run: str, summaries: Sequence[TaskSummary], *, shares: Mapping[str, float], style: OutputStyle) -> str:
    of_run = [each for each in summaries if each.source in shares and each.source.partition("/")[0] == run]
    sources = sorted({each.source for each in of_run}, key=lambda source: shares[source])
    if len(sources) < 2:
        return ""
    by_row: dict[str, dict[str, float]] = {}
    for each in of_run:
        by_row.setdefault(name_start(each.task, each.via), {})[each.source] = each.median
    rows: list[Row] = [
        [
            name,
            *(f"{medians[source]:.4f}" if source in medians else style.dash for source in sources),
            _draw([medians.get(source) for source in sources], style=style),
        ]
        for name, medians in by_row.items()
    ]
    header = ["TASK", *(format_share(shares[source]) for source in sources), ""]
    table = format_table(header, rows, right=set(range(1, len(sources) + 1)), style=style)
    return f"{run}: medians against the share of its budget\n{table}"


def _draw(medians: Sequence[float | None], *, style: OutputStyle) -> str:
    """A bar for each export, from the row's lowest to its highest."""
    known = [median for median in medians if median is not None]
    low, high = min(known), max(known)
    if not style.has_unicode or low == high:
        return ""
    steps = len(_LEVELS) - 1
    return "".join(
        " " if median is None else _LEVELS[round(steps * (median - low) / (high - low))] for median in medians
    )
