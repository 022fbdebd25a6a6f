"""A recipe's keys with their values, defaults and meanings; and what differs between several recipes. Pure."""

from __future__ import annotations

import json
import tomllib
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from bertd.run.recipe.schema import Recipe

NOT_SET = "not set"
_CACHED_RECIPES = 16
"""Views draw them once a second."""
NAMELESS_KEYS = frozenset({"run.name", "run.seed"})
"""Runs that differ in these alone are repetitions of each other."""


@dataclass(frozen=True)
class RecipeKey:
    """One key of a recipe."""

    key: str
    """section.key."""
    value: str
    default: str
    """`required` for a key that has none."""
    source: str
    """default; recipe, which is the submitted file or a --set, as a run records only the result; or changed, while it
    ran."""
    meaning: str
    """Unit and source, as the recipe's schema has them."""

    @property
    def is_default(self) -> bool:
        """Whether it has the value that it has where nobody sets it."""
        return self.value == self.default


@dataclass(frozen=True)
class _Known:
    default: str
    meaning: str


@lru_cache(maxsize=_CACHED_RECIPES)
def recipe_keys(toml: str, *, changed: frozenset[str] = frozenset()) -> tuple[RecipeKey, ...]:
    """Every key of the schema, in its order, then those of the recipe that this version does not know.

    Args:
        toml: a run's recipe.
        changed: sections of which a value was changed while the run existed.

    Raises:
        ValueError: the text is no TOML.
    """
    values = _flatten(tomllib.loads(toml))
    known = _schema_keys()
    rows = []
    for key in dict.fromkeys([*known, *values]):
        about = known.get(key, _Known("", "This version of bertd does not know it."))
        value = values.get(key, NOT_SET)
        source = "default" if value == about.default else "recipe"
        if key.partition(".")[0] in changed and value != about.default:
            source = "changed"
        rows.append(RecipeKey(key, value, about.default, source, about.meaning))
    return tuple(rows)


@lru_cache(maxsize=8)
def find_differences(recipes: tuple[str, ...]) -> list[tuple[str, list[str]]]:
    """The keys whose values are not the same in all recipes, each with the values in the recipes' order."""
    flat = [{row.key: row.value for row in recipe_keys(toml)} for toml in recipes]
    keys = dict.fromkeys(key for each in flat for key in each if key != "run.name")
    rows = [(key, [each.get(key, NOT_SET) for each in flat]) for key in keys]
    return [(key, values) for key, values in rows if len(set(values)) > 1]


def repetition_key(toml: str) -> str:
    """The same text for recipes that differ in name and seed alone."""
    values = _flatten(tomllib.loads(toml))
    return json.dumps({key: value for key, value in values.items() if key not in NAMELESS_KEYS}, sort_keys=True)


def _flatten(tree: Mapping[str, object]) -> dict[str, str]:
    return {
        f"{section}.{key}": _text(value)
        for section, keys in tree.items()
        for key, value in (keys.items() if isinstance(keys, dict) else ())
    }


@cache
def _schema_keys() -> dict[str, _Known]:
    keys = {}
    for section, about_section in Recipe.model_fields.items():
        model = _section_model(about_section.annotation)
        for key, about in model.model_fields.items():
            default = about.get_default(call_default_factory=True)
            text = "required" if default is PydanticUndefined else NOT_SET if default is None else _text(default)
            keys[f"{section}.{key}"] = _Known(text, " ".join((about.description or "").split()))
    return keys


def _section_model(annotation: object) -> type[BaseModel]:
    """The model of a section, which may be optional."""
    candidates = [annotation, *typing.get_args(annotation)]
    return next(each for each in candidates if isinstance(each, type) and issubclass(each, BaseModel))


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        return f"{{{', '.join(f'{name} = {_text(one)}' for name, one in value.items())}}}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_text, value))}]"
    return str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)
