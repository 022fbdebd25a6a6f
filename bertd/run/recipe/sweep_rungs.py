"""The rungs of a sweep: who continues, when a run pauses, and the most that all of it takes. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator

from bertd.errors import RecipeError
from bertd.records import SweepSpec
from bertd.run.amounts.durations import format_exact_duration
from bertd.run.recipe.schema import Recipe
from bertd.run.recipe.sweep_grid import Setting

KEEP_KEY = "checkpoint.keep"
"""A hundred paused settings would fill a disk: a sweep that does not set it keeps one newest checkpoint of each."""


def check_rungs(spec: SweepSpec, settings: list[Setting], *, name: str) -> None:
    """Check that every setting reaches each rung and the end.

    Raises:
        RecipeError: one does not.
    """
    if spec.end_s is None and not spec.rungs:
        return
    for setting in settings:
        total_s = setting.recipe.granted.total_s
        if total_s is None:
            unit = setting.recipe.budget.unit
            raise RecipeError(f"{name}: setting {setting.number}: rungs and end are times, its budget is in {unit}")
        if spec.end_s is None or total_s < spec.end_s:
            total = format_exact_duration(total_s)
            raise RecipeError(
                f"{name}: setting {setting.number}: its budget is {total}, and it would end before "
                f"the sweep, {format_exact_duration(spec.end_s or 0)}; give [sweep] end, or a larger budget"
            )
    times = [rung.at_s for rung in spec.rungs]
    for rung in spec.rungs:
        if rung.keep is None and rung.max_loss is None:
            raise RecipeError(
                f"{name}: [sweep] rungs: {format_exact_duration(rung.at_s)} ends nothing; give keep or max_loss"
            )
    if times != sorted(set(times)) or (times and spec.end_s is not None and times[-1] >= spec.end_s):
        shown = ", ".join(format_exact_duration(at_s) for at_s in times)
        end = "" if spec.end_s is None else f", the last before the end, {format_exact_duration(spec.end_s)}"
        raise RecipeError(f"{name}: [sweep] rungs at {shown}: let each be later than the one before{end}")


def pause_mark_s(spec: SweepSpec, recipe: Recipe, *, rung: int) -> float | None:
    """Charged seconds at which a run on its way to a rung pauses; None if its budget ends it.

    Args:
        rung: index of the rung; the number of rungs stands for the end.
    """
    if rung < len(spec.rungs):
        return spec.rungs[rung].at_s
    total_s = recipe.granted.total_s
    return None if spec.end_s is None or total_s is None or total_s <= spec.end_s else spec.end_s


def most_charged_s(spec: SweepSpec, *, num_settings: int, end_s: float) -> float:
    """The most that all runs together are charged: each max_loss drops nothing, each keep its share."""
    return sum(number * part_s for number, part_s in _parts(spec, num_settings=num_settings, end_s=end_s))


def most_wall_s(spec: SweepSpec, *, num_settings: int, end_s: float, num_at_once: int) -> float:
    """The longest that a sweep takes if so many settings always train at the same time."""
    parts = _parts(spec, num_settings=num_settings, end_s=end_s)
    return sum(math.ceil(number / num_at_once) * part_s for number, part_s in parts)


def _parts(spec: SweepSpec, *, num_settings: int, end_s: float) -> Iterator[tuple[int, float]]:
    """The most settings that train between two rungs, and for how many seconds each."""
    before_s, number = 0.0, num_settings
    for rung in spec.rungs:
        yield number, rung.at_s - before_s
        before_s, number = rung.at_s, num_kept(number, keep=rung.keep)
    yield number, end_s - before_s


def set_checkpoint_keep(spec: SweepSpec, recipe: Recipe) -> Recipe:
    """The recipe of a setting's run: it keeps one newest checkpoint, unless the sweep says how many."""
    if KEEP_KEY in spec.fixed or KEEP_KEY in spec.grid:
        return recipe
    return recipe.model_copy(update={"checkpoint": recipe.checkpoint.model_copy(update={"keep": 1})})


def num_kept(number: int, *, keep: float | None) -> int:
    """How many of so many settings continue; at least one."""
    # A share such as 1/3 is rounded in binary: of 9 settings 3 continue, not 4.
    return number if keep is None else max(1, -int(-(number * keep - 1e-9) // 1)) if number else 0
