"""The recipe that a person names, with everything in it that depends on where he stands resolved."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from bertd.errors import ShardError
from bertd.records import BudgetUnit
from bertd.run.amounts.budget_amounts import parse_budget_amount
from bertd.run.paths import expand_user, find_data_set, place_data_set
from bertd.run.recipe.load import find_recipe, parse_recipe, read_recipe
from bertd.run.recipe.mixture_text import format_shards, map_shards, toml_string
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


def resolve_named_recipe(recipe: str, overrides: list[str], *, is_awaiting: bool = False) -> ResolvedRecipe:
    """Read a recipe and resolve its paths.

    Args:
        recipe: a TOML file, or the name of a recipe of bertd.
        overrides: such as optimizer.peak_lr=1e-3.
        is_awaiting: it waits for other jobs, which may make its data set.

    Raises:
        RecipeError: the recipe is not found or not valid.
        ShardError: there is no such data set.
    """
    path = find_recipe(recipe)
    overrides = [*overrides]
    resolved = read_recipe(path, overrides=overrides)
    shards = map_shards(resolved.data.shards, lambda name: str(_find_shards(name, is_awaiting=is_awaiting)))
    overrides.append(f"data.shards={format_shards(shards)}")
    if resolved.finetune.data is not None:
        overrides.append(f"finetune.data={toml_string(str(expand_user(resolved.finetune.data).absolute()))}")
    if (start_from := _resolve_start_from(resolved)) is not None:
        overrides.append(f"model.start_from={toml_string(start_from)}")
    text = path.read_text(encoding="utf-8")
    resolved = parse_recipe(text, name=path.name, overrides=overrides)
    return ResolvedRecipe(name=path.name, text=text, overrides=overrides, recipe=resolved)


def budget_override(text: str) -> str:
    """A budget such as `24h` as an override of a recipe.

    Raises:
        ValueError: it is not a budget above 0.
    """
    asked = parse_budget_amount(text)
    if asked.is_relative or not asked.amount:
        raise ValueError(f"{text!r}: give a budget above 0, such as 24h")
    is_count = asked.unit in (BudgetUnit.STEPS, BudgetUnit.SEQUENCES) and asked.amount == int(asked.amount)
    return f"budget.{asked.unit}={int(asked.amount) if is_count else asked.amount!r}"


def name_override(name: str) -> str:
    """A run's name as an override of a recipe."""
    return text_override("run.name", name)


def text_override(key: str, text: str) -> str:
    """A text as an override of a recipe, whatever characters it has."""
    return f"{key}={toml_string(text)}"


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


def _resolve_start_from(recipe: Recipe) -> str | None:
    """The model that the run starts from: an absolute path if anything is there, otherwise a name on the hub.

    What is no folder, such as a pipe, is not taken for a name: the daemon refuses it.
    """
    source = recipe.model.start_from
    if source is None:
        return None
    folder = expand_user(source).absolute()
    return str(folder) if os.path.lexists(folder) else source
