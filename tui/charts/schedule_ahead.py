"""The learning rate from now to the end of the budget, by the recipe's schedule.

It begins at the newest rate, so it is right after a change of the budget, too: the schedule then continues from its
position, which is found again from the rate.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bertd.records import StepRecord
    from bertd.run.recipe.schema import Recipe

_NUM_POINTS = 64
_NUM_HALVINGS = 40
"""Of the search for the schedule's position: exact to a part in 10^12."""


def learning_rate_ahead(recipe: Recipe, step: StepRecord, *, is_changed: bool) -> list[tuple[float, float]]:
    """Pairs of progress and learning rate, from the newest step to the end.

    Args:
        is_changed: whether the budget was changed, so that the schedule's position is not the share that is spent.
    """
    from bertd.run.learning_rate import learning_rate_factor

    begin = step.progress
    position = _find_position(recipe, step) if is_changed else begin
    factor = learning_rate_factor(recipe.schedule, progress=position)
    if begin >= 1.0 or factor <= 0.0:
        return []
    scale = step.lr / factor
    pairs = []
    for index in range(_NUM_POINTS + 1):
        part = index / _NUM_POINTS
        at = learning_rate_factor(recipe.schedule, progress=position + part * (1 - position))
        pairs.append((begin + part * (1 - begin), scale * at))
    return pairs


def ahead_text(recipe: Recipe, step: StepRecord) -> str:
    """What the schedule does next: `warms up until 6 %`, `falls linearly to 0`."""
    schedule = recipe.schedule
    end = "0" if schedule.end == 0 else f"{schedule.end:g} of its peak"
    if step.progress < schedule.warmup:
        return f"rises to {100 * schedule.warmup:g} % of the budget"
    match schedule.curve:
        case "constant":
            return "stays"
        case "trapezoid" if step.progress < 1 - schedule.decay:
            return f"stays until {100 * (1 - schedule.decay):g} %, then falls to {end}"
        case "linear" | "trapezoid":
            return f"falls to {end}"
        case _:
            return f"falls to {end}, {schedule.curve}"


def _find_position(recipe: Recipe, step: StepRecord) -> float:
    """Where after the warm-up the schedule has the newest rate; during the warm-up, there."""
    from bertd.run.learning_rate import learning_rate_factor

    wanted = step.lr / recipe.optimizer.peak_lr
    if step.progress < recipe.schedule.warmup:
        return min(1.0, wanted) * recipe.schedule.warmup
    low, high = recipe.schedule.warmup, 1.0
    for _ in range(_NUM_HALVINGS):
        middle = (low + high) / 2
        if learning_rate_factor(recipe.schedule, progress=middle) > wanted:
            low = middle
        else:
            high = middle
    return low
