"""What differs between two recipes, key by key. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from bertd.run.recipe.mixture_text import format_weights
from bertd.run.recipe.schema import Recipe

_NO_DIFFERENCE = frozenset({"run.name"})
"""A name changes nothing."""


@dataclass(frozen=True)
class Difference:
    """One key with both values."""

    key: str
    value: str
    other: str


def find_differences(recipe: Recipe, other: Recipe) -> list[Difference]:
    """The keys whose values differ, in the order of the recipe's sections."""
    ours, theirs = flatten_recipe(recipe), flatten_recipe(other)
    keys = list(dict.fromkeys([*ours, *theirs]))
    return [
        Difference(key, ours.get(key, "–"), theirs.get(key, "–"))
        for key in keys
        if ours.get(key) != theirs.get(key) and key not in _NO_DIFFERENCE
    ]


def _text(value: object) -> str:
    return format_weights(value) if isinstance(value, dict) else str(value)


def flatten_recipe(recipe: Recipe) -> dict[str, str]:
    """Every key as `section.key` with its value as text; what is not set is left out."""
    tree = recipe.model_dump(mode="json", exclude_none=True)
    return {f"{section}.{key}": _text(value) for section, keys in tree.items() for key, value in keys.items()}
