"""The learning rate as a function of the budget's progress.

The rate rises linearly over the warm-up share, then follows the curve, and at progress 1 is exactly the recipe's `end`,
0 by default. Progress is a share, so the curve is the same for a budget of one minute: the original code divided by
max(1, hours), which cut off the curve of every run under an hour.
"""

from __future__ import annotations

import math

from bertd.run.recipe.schema import ScheduleSection


def learning_rate_factor(schedule: ScheduleSection, *, progress: float) -> float:
    """Share of the peak rate at `progress` (0..1) of the budget."""
    if progress < schedule.warmup:
        return progress / schedule.warmup
    left = 1.0 - min(1.0, progress)
    rest = left / (1.0 - schedule.warmup)
    match schedule.curve:
        case "linear":
            height = rest
        case "cosine":
            height = 0.5 * (1.0 - math.cos(math.pi * rest))
        case "trapezoid":
            height = min(1.0, left / schedule.decay)
        case "exponential":
            return float(schedule.end ** (1.0 - rest))
        case "constant":
            return 1.0
    return schedule.end + (1.0 - schedule.end) * height
