"""Finetuning scores: each task's mean and best over its trials, beside the score of the majority class."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from statistics import mean

from bertd.api.models import ScoreView
from tui.display_options import DisplayOptions
from tui.drawing.lines import Line, Role, cell, heading, line

_COLUMNS = (("task", 10), ("metric", 16), ("score", 9), ("best", 9), ("majority", 10), ("trials", 8), ("export", 0))


def draw(scores: Sequence[ScoreView] | None, options: DisplayOptions, width: int) -> list[Line]:
    """A row for each task and export, newest export first; `scores` is None while no daemon has answered."""
    if scores is None:
        return [heading("Scores", line(("not known yet", Role.MUTED)), width=width, rule=options.glyphs.rule)]
    trials = "1 trial" if len(scores) == 1 else f"{len(scores)} trials"
    count = trials if scores else "none yet; f queues a finetuning"
    title = heading("Scores", line((count, Role.MUTED)), width=width, rule=options.glyphs.rule)
    if not scores:
        return [title]
    grouped: dict[tuple[str, str, str], list[ScoreView]] = defaultdict(list)
    for one in scores:
        grouped[(one.score.source, one.score.task, one.score.metric)].append(one)
    newest = sorted(grouped.items(), key=lambda item: (_newest_time(item[1]), item[0]), reverse=True)
    head = line(*(cell(name, size or len(name), Role.MUTED) for name, size in _COLUMNS))
    return [title, head, *(_row(trials) for _, trials in newest)]


def _newest_time(trials: list[ScoreView]) -> float:
    return max(one.score.t for one in trials)


def _row(trials: list[ScoreView]) -> Line:
    first, values = trials[0].score, [one.score.score for one in trials]
    texts = (first.task, first.metric, f"{mean(values):.4f}", f"{max(values):.4f}", f"{first.majority_score:.4f}")
    roles = (Role.STRONG, Role.MUTED, Role.STRONG, Role.TEXT, Role.MUTED)
    cells = [cell(text, size, role) for text, (_, size), role in zip(texts, _COLUMNS, roles, strict=False)]
    return line(*cells, cell(str(len(trials)), 8, Role.MUTED), (first.source, Role.MUTED))
