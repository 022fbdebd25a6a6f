"""A run's recipe as a file to begin another one with: what is the default is left out."""

from __future__ import annotations

import tomli_w

from bertd.run.recipe.schema import Recipe


def format_template(recipe: Recipe, *, run_id: str) -> str:
    """TOML text that `parse_recipe` reads back as an equal recipe, without the values that are the defaults."""
    tree = recipe.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
    return f"# The recipe of run {run_id}. Values that are not here are the defaults of bertd.\n{tomli_w.dumps(tree)}"
