"""Find the runs of a recipe that are over on this machine, which say what loss to expect of a budget."""

from __future__ import annotations

from pathlib import Path

from bertd.errors import RecipeError
from bertd.run.forecast.earlier_runs import EarlierRun, find_earlier_runs, newest_run_folders
from bertd.run.forecast.expect_loss import steps_to_reach
from bertd.run.paths import StatePaths, default_state_dir
from bertd.run.recipe.schema import Recipe


def find_finished_runs(recipe: Recipe, *, beside: Path | None = None) -> list[EarlierRun]:
    """Those of the same recipe, in the daemon's folder of runs.

    Args:
        beside: a run's folder; the runs beside it are looked at instead.
    """
    folder = StatePaths(default_state_dir()).runs if beside is None else beside.absolute().parent
    return find_earlier_runs(newest_run_folders(folder), recipe)


def steps_until_loss(target: float, recipe: Recipe, runs: list[EarlierRun]) -> int:
    """The steps that are expected to reach a validation loss.

    Raises:
        RecipeError: no run of the recipe is over, or none of its budgets is expected to reach it.
    """
    if not runs:
        raise RecipeError(
            "--until-loss: no run of this recipe has trained to the end of its budget here, so nothing says which loss "
            "a budget reaches; let a short one run first"
        )
    steps = steps_to_reach(target, runs, recipe.schedule)
    if steps is None:
        names = ", ".join(run.name for run in runs)
        raise RecipeError(f"--until-loss {target:g}: by the runs {names} no budget of this recipe reaches it")
    return steps
