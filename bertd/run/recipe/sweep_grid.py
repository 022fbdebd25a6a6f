"""The grid of a sweep: every combination of its values is one setting, each checked as a recipe."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable
from dataclasses import dataclass

import tomli_w
from pydantic import JsonValue

from bertd.errors import RecipeError
from bertd.records import SweepSpec
from bertd.run.recipe.load import parse_recipe
from bertd.run.recipe.mixture_text import toml_string
from bertd.run.recipe.schema import Recipe

MAX_SETTINGS = 1_000


@dataclass(frozen=True)
class Setting:
    """One combination of the grid's values."""

    number: int
    """From 1, in the order of the file, the last axis changing first."""
    values: dict[str, str]
    """section.key to its value as text."""
    overrides: list[str]
    """What makes its recipe of the base recipe, as `section.key=value`."""
    recipe: Recipe


def expand_settings(spec: SweepSpec, *, recipe_toml: str, recipe_name: str, name: str) -> list[Setting]:
    """Every combination, each checked as a recipe.

    Raises:
        RecipeError: one of them is wrong, which is named, or there are none or too many.
    """
    number = math.prod(len(choices) for choices in spec.grid.values())
    if not spec.grid or not number:
        raise RecipeError(f"{name}: [grid] has no setting; give at least one key with two values")
    if number > MAX_SETTINGS:
        raise RecipeError(f"{name}: [grid] has {number:,} settings; give at most {MAX_SETTINGS:,}")
    fixed = [f"{key}={_toml(key, value, name=name)}" for key, value in spec.fixed.items()]
    settings = []
    for index, combination in enumerate(itertools.product(*spec.grid.values()), start=1):
        chosen = dict(zip(spec.grid, combination, strict=True))
        values = {key: format_value(value) for key, value in chosen.items()}
        overrides = [f"run.name={json.dumps(f'{spec.name}-{index:03d}')}", *fixed]
        overrides += [f"{key}={_toml(key, value, name=name)}" for key, value in chosen.items()]
        try:
            recipe = parse_recipe(recipe_toml, name=recipe_name, overrides=overrides)
        except RecipeError as error:
            text = ", ".join(f"{key}={value}" for key, value in values.items())
            raise RecipeError(f"{name}: setting {index} of {number} ({text}): {error}") from error
        settings.append(Setting(number=index, values=values, overrides=overrides, recipe=recipe))
    return settings


PATH_KEYS = ("data.shards", "model.start_from", "finetune.data")
"""Keys of a recipe that name folders, which may be relative to where a sweep is begun."""


WEIGHTS_KEY = "data.shards"
"""The one key that may be a table, of data sets and their weights."""


def setting_values(spec: SweepSpec) -> list[dict[str, str]]:
    """The values of each setting as text, by section.key."""
    return [
        {key: format_value(value) for key, value in zip(spec.grid, combination, strict=True)}
        for combination in itertools.product(*spec.grid.values())
    ]


def map_paths(spec: SweepSpec, change: Callable[[str, str], str]) -> SweepSpec:
    """The sweep with the texts of PATH_KEYS changed by `change(key, text)`."""

    def mapped(key: str, value: JsonValue) -> JsonValue:
        if key == WEIGHTS_KEY and isinstance(value, dict):
            return {change(key, path): weight for path, weight in value.items()}
        is_path = key in PATH_KEYS and isinstance(value, str)
        return change(key, value) if is_path and isinstance(value, str) else value

    return spec.model_copy(
        update={
            "fixed": {key: mapped(key, value) for key, value in spec.fixed.items()},
            "grid": {key: [mapped(key, value) for value in values] for key, values in spec.grid.items()},
        }
    )


def format_value(value: object) -> str:
    """A value as text, on one line."""
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _toml(key: str, value: JsonValue, *, name: str) -> str:
    if value is None:
        raise RecipeError(f"{name}: {key} = null: give a value, or leave the key out")
    if key == WEIGHTS_KEY and isinstance(value, dict) and all(map(_is_plain, value.values())):
        return f"{{{', '.join(f'{toml_string(path)} = {_toml(path, one, name=name)}' for path, one in value.items())}}}"
    if not _is_plain(value):
        raise RecipeError(
            f"{name}: {key} = {format_value(value):.60}: give a text, a number, true, false or a list of these"
        )
    return tomli_w.dumps({"value": value}).partition("=")[2].strip()


def _is_plain(value: JsonValue) -> bool:
    """Whether a recipe may have it: no table, which would be written as a section of its own, and no null within."""
    return all(map(_is_plain, value)) if isinstance(value, list) else not (value is None or isinstance(value, dict))
