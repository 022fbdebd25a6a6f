"""Every setting that was tried on each task: its scores, and whether halving dropped it and when."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from bertd.cli.output.tables import BOLD, DIM, Cell, OutputStyle, Row, format_table
from bertd.cli.output.views import name_start
from bertd.run.amounts.quantities import format_count
from bertd.scores.score_summary import SettingSummary, TaskSummary


def settings_text(summaries: Sequence[TaskSummary], *, style: OutputStyle) -> str:
    """A line for each export, task and setting, the best setting of a task first."""
    header = ["TASK", "METRIC", "LR", "BATCH", "EPOCHS", "MEDIAN", "LOWEST", "HIGHEST", "SEEDS", "DROPPED", "SOURCE"]
    rows: list[Row] = [
        [
            name_start(each.task, each.via),
            each.metric,
            f"{tried.setting.lr:g}",
            str(tried.setting.batch_size),
            str(tried.setting.epochs),
            Cell(f"{statistics.median(tried.scores):.4f}", (BOLD,) if tried.setting == each.setting else (DIM,)),
            f"{tried.scores[0]:.4f}",
            f"{tried.scores[-1]:.4f}",
            str(len(tried.scores)),
            _describe_drop(tried, dash=style.dash),
            each.source,
        ]
        for each in summaries
        for tried in each.settings
    ]
    return format_table(header, rows, right=set(range(2, 9)), style=style, drop=(10, 1, 7, 6))


def _describe_drop(tried: SettingSummary, *, dash: str) -> str:
    return dash if tried.dropped_after is None else f"after {format_count(tried.dropped_after, 'seed')}"
