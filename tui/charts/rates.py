"""How fast a run is, against its own median, and what that means for the end of its budget."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from bertd.records import BudgetUnit
from bertd.run.amounts.durations import format_duration

if TYPE_CHECKING:
    from bertd.api.models import RunView, SeriesView

_NOTED_SHARE = 0.02
"""A smaller difference from the median is not worth a word."""
_MIN_POINTS = 8
"""Fewer points have no meaningful median."""


def median_speed(series: SeriesView | None) -> float | None:
    """Sequences per second that half of the run's steps exceed; None before there are enough."""
    points = series.columns.get("sequences_per_s", []) if series is not None else []
    values = [y for _, y in points if math.isfinite(y)]
    # Not statistics.median: its module's imports would delay the first frame.
    return sorted(values)[len(values) // 2] if len(values) >= _MIN_POINTS else None


def shortfall(run: RunView, series: SeriesView | None) -> str:
    """`stops 4 % short at this rate`, or how much later it ends; empty where it keeps to its median."""
    usual, expected = median_speed(series), _projected_speed(run)
    if usual is None or expected is None or usual <= 0:
        return ""
    left_s, step, end = run.budget.remaining_s, run.step, run.budget.projected_step
    if left_s is None or step is None or end is None or end <= step.step:
        return ""
    if run.budget.unit in (BudgetUnit.HOURS, BudgetUnit.GPU_HOURS):
        at_median = step.step + (end - step.step) * usual / expected
        share = 1 - end / at_median
        return f"stops {100 * share:.0f} % short at this rate" if share >= _NOTED_SHARE / 2 else ""
    later_s = left_s * (1 - expected / usual)
    return f"{format_duration(later_s)} later than at its median rate" if later_s >= _NOTED_SHARE * left_s else ""


def _projected_speed(run: RunView) -> float | None:
    """Sequences per second from which the daemon projects the end."""
    step, left_s, end = run.step, run.budget.remaining_s, run.budget.projected_step
    if step is None or not step.step or not left_s or end is None:
        return None
    return (end - step.step) * (step.sequences / step.step) / left_s


def sequences_at_end(run: RunView) -> float | None:
    """Sequences when the budget is spent, at the mean batch so far; None where no end is projected."""
    step, end = run.step, run.budget.projected_step
    return None if step is None or not step.step or end is None else step.sequences * end / step.step
