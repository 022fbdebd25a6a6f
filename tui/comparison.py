"""Runs side by side: their curves, the error of their newest loss, and which of them repeat each other. Pure."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tui.recipe_keys import repetition_key

if TYPE_CHECKING:
    from bertd.api.models import RunView, SeriesAxis, SeriesView

MAX_COMPARED = 8
AXES: tuple[SeriesAxis, ...] = ("progress", "step", "charged_s", "tokens", "wall_s")
AXIS_TEXTS: Mapping[SeriesAxis, str] = {
    "progress": "share of the budget",
    "step": "step",
    "charged_s": "charged time",
    "tokens": "tokens",
    "wall_s": "time since the first start",
    "sequences": "sequences",
}
_ERROR_POINTS = 6
"""Newest validations from whose scatter the error of the newest loss is estimated."""
_MIN_ERROR_POINTS = 4


@dataclass(frozen=True)
class Comparison:
    """What is known of the compared runs."""

    runs: tuple[RunView, ...]
    """All runs, newest first."""
    marked: tuple[str, ...]
    """Ids of those that are compared, in the order in which they were chosen."""
    axis: SeriesAxis
    series: Mapping[str, SeriesView]
    """By run id."""
    recipes: Mapping[str, str]
    """TOML by run id."""

    @property
    def compared(self) -> list[RunView]:
        """The marked runs, in the order in which they were chosen."""
        known = {run.id: run for run in self.runs}
        return [known[id] for id in self.marked if id in known]

    def letter(self, run_id: str) -> str:
        """`a` for the run that was chosen first; empty for one that is not compared."""
        return chr(ord("a") + self.marked.index(run_id)) if run_id in self.marked else ""


def loss_error(series: SeriesView | None) -> float | None:
    """Nats: scatter of the newest validation losses around a straight line; None for too few of them."""
    points = [(x, y) for x, y in (series.columns.get("validation", []) if series else []) if math.isfinite(y)]
    newest = points[-_ERROR_POINTS:]
    if len(newest) < _MIN_ERROR_POINTS or newest[0][0] == newest[-1][0]:
        return None
    slope, intercept = statistics.linear_regression(*zip(*newest, strict=True))
    squares = sum((y - slope * x - intercept) ** 2 for x, y in newest)
    return math.sqrt(squares / (len(newest) - 2))


@dataclass(frozen=True)
class Repetitions:
    """Compared runs whose recipes differ in name and seed alone."""

    letters: str
    losses: tuple[float, ...]
    """Newest validation losses in nats, from the lowest to the highest."""


def find_repetitions(comparison: Comparison) -> list[Repetitions]:
    """Groups of at least two runs that have a validation."""
    groups: dict[str, list[RunView]] = {}
    for run in comparison.compared:
        if run.id in comparison.recipes and run.validation is not None:
            groups.setdefault(repetition_key(comparison.recipes[run.id]), []).append(run)
    return [
        Repetitions(
            "".join(comparison.letter(run.id) for run in runs),
            tuple(sorted(run.validation.loss for run in runs if run.validation is not None)),
        )
        for runs in groups.values()
        if len(runs) > 1
    ]


def first_marks(runs: Sequence[RunView], shown: RunView | None) -> tuple[str, ...]:
    """The shown run and the newest other ones that have a validation, up to three in all."""
    others = [run.id for run in runs if run.validation is not None and (shown is None or run.id != shown.id)]
    return (*([shown.id] if shown is not None else []), *others)[:3]
