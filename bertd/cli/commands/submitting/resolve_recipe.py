"""The recipe that a person names at the command line: `--budget` and `--name` are overrides of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import typer

from bertd.run.recipe.load import format_recipe
from bertd.run.recipe.named_recipe import ResolvedRecipe, budget_override, name_override, resolve_named_recipe
from bertd.run.recipe.schema import Recipe


def resolve_recipe(
    recipe: str, *, settings: list[str], budget: str | None, name: str | None, is_awaiting: bool = False
) -> ResolvedRecipe:
    """Read a recipe and resolve its paths.

    Args:
        recipe: a TOML file, or the name of a recipe of bertd.
        settings: overrides such as optimizer.peak_lr=1e-3.
        budget: an amount such as 24h, in place of the recipe's.
        name: in place of the recipe's.
        is_awaiting: it waits for other jobs, which may make its data set.

    Raises:
        RecipeError: the recipe is not found or not valid.
        ShardError: there is no such data set.
        BadParameter: the budget is not one.
    """
    overrides = [*settings, *expand_shorthands(budget=budget, name=name)]
    return resolve_named_recipe(recipe, overrides, is_awaiting=is_awaiting)


def check_start_from(recipe: Recipe) -> None:
    """Exit with the reason if a run cannot start from the folder it names; a name on the hub is not checked.

    Raises:
        Exit: it cannot.
    """
    source = recipe.model.start_from
    if source is None or not (Path(source).is_dir() and all(Path(path).is_dir() for path in recipe.data.weights)):
        return
    # The command line never imports the compute side, which has its own program for this.
    command = [sys.executable, "-m", "bertd.train.check_start_from"]
    # In its own session, so that Ctrl-C reaches only this process, which then ends the child.
    completed = subprocess.run(command, input=format_recipe(recipe), text=True, check=False, start_new_session=True)
    if completed.returncode:
        raise typer.Exit(completed.returncode)


def expand_shorthands(*, budget: str | None, name: str | None) -> list[str]:
    """--budget and --name as overrides of the recipe.

    Raises:
        BadParameter: the budget is not one above 0.
    """
    overrides = []
    if budget is not None:
        try:
            overrides.append(budget_override(budget))
        except ValueError as error:
            raise typer.BadParameter(str(error), param_hint="--budget") from error
    if name is not None:
        overrides.append(name_override(name))
    return overrides
