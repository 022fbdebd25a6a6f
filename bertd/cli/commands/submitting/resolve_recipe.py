"""The recipe that a person names, with everything in it that depends on where he stands resolved."""

from __future__ import annotations

import json as json_format
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import typer

from bertd.errors import ShardError
from bertd.records import BudgetUnit
from bertd.run.amounts.budget_amounts import parse_budget_amount
from bertd.run.paths import expand_user, find_data_set, place_data_set
from bertd.run.recipe.load import find_recipe, format_recipe, parse_recipe, read_recipe
from bertd.run.recipe.schema import Recipe


@dataclass(frozen=True)
class ResolvedRecipe:
    """A recipe file with its overrides, for the daemon, and what they make."""

    name: str
    """Of the file."""
    text: str
    """Of the file."""
    overrides: list[str]
    """A person's own, and the absolute paths of what the recipe names."""
    recipe: Recipe


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
    path = find_recipe(recipe)
    overrides = [*settings, *expand_shorthands(budget=budget, name=name)]
    resolved = read_recipe(path, overrides=overrides)
    overrides.append(f"data.shards={_toml_string(str(_find_shards(resolved.data.shards, is_awaiting=is_awaiting)))}")
    if resolved.finetune.data is not None:
        overrides.append(f"finetune.data={_toml_string(str(expand_user(resolved.finetune.data).absolute()))}")
    if (start_from := _resolve_start_from(resolved)) is not None:
        overrides.append(f"model.start_from={_toml_string(start_from)}")
    text = path.read_text(encoding="utf-8")
    resolved = parse_recipe(text, name=path.name, overrides=overrides)
    return ResolvedRecipe(name=path.name, text=text, overrides=overrides, recipe=resolved)


def _find_shards(name: str, *, is_awaiting: bool) -> Path:
    """The recipe's data set; where the jobs that it waits for will make it, if it is not there.

    Raises:
        ShardError: there is none, and it waits for no job.
    """
    try:
        return find_data_set(name)
    except ShardError:
        if not is_awaiting:
            raise
        return place_data_set(name)


def check_start_from(recipe: Recipe) -> None:
    """Exit with the reason if a run cannot start from the folder it names; a name on the hub is not checked.

    Raises:
        Exit: it cannot.
    """
    source = recipe.model.start_from
    if source is None or not (Path(source).is_dir() and Path(recipe.data.shards).is_dir()):
        return
    # The command line never imports the compute side, which has its own program for this.
    command = [sys.executable, "-m", "bertd.train.check_start_from"]
    # In its own session, so that Ctrl-C reaches only this process, which then ends the child.
    completed = subprocess.run(command, input=format_recipe(recipe), text=True, check=False, start_new_session=True)
    if completed.returncode:
        raise typer.Exit(completed.returncode)


def _resolve_start_from(recipe: Recipe) -> str | None:
    """The model that the run starts from: an absolute path if anything is there, otherwise a name on the hub.

    What is no folder, such as a pipe, is not taken for a name: the daemon refuses it.
    """
    source = recipe.model.start_from
    if source is None:
        return None
    folder = expand_user(source).absolute()
    return str(folder) if os.path.lexists(folder) else source


def expand_shorthands(*, budget: str | None, name: str | None) -> list[str]:
    """--budget and --name as overrides of the recipe."""
    overrides = []
    if budget is not None:
        overrides.append(_budget_override(budget))
    if name is not None:
        overrides.append(f"run.name={_toml_string(name)}")
    return overrides


def _budget_override(text: str) -> str:
    """--budget as an override.

    Raises:
        BadParameter: it is not a budget above 0.
    """
    try:
        asked = parse_budget_amount(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--budget") from error
    if asked.is_relative or not asked.amount:
        raise typer.BadParameter(f"{text!r}: give a budget above 0, such as 24h", param_hint="--budget")
    is_count = asked.unit in (BudgetUnit.STEPS, BudgetUnit.SEQUENCES) and asked.amount == int(asked.amount)
    return f"budget.{asked.unit}={int(asked.amount) if is_count else asked.amount!r}"


def _toml_string(text: str) -> str:
    """The text as a TOML string: TOML reads JSON's escapes, and requires one more, for DEL."""
    return json_format.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
