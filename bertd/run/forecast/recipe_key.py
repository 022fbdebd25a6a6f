"""Decide which runs are of the same recipe, so that one says what to expect of another. Pure."""

from __future__ import annotations

import json

from bertd.run.recipe.schema import Recipe

_SECTIONS = ("data", "masking", "model", "optimizer")


def recipe_key(recipe: Recipe) -> str:
    """Equal for runs that learn alike: budget, schedule, seed and devices may differ."""
    sections = recipe.model_dump(mode="json")
    parts = {name: sections[name] for name in _SECTIONS}
    batch = {name: sections["batch"][name] for name in ("sequences", "ramp")}
    return json.dumps(parts | {"batch": batch, "max_sequences": recipe.validation.max_sequences}, sort_keys=True)


def law_key(recipe: Recipe) -> str:
    """Equal for runs whose loss follows the same law: only budget, seed and devices may differ. On recorded runs a law
    from another schedule foretold less than the values that ship."""
    return json.dumps([recipe_key(recipe), recipe.schedule.model_dump(mode="json")], sort_keys=True)


def curve_key(recipe: Recipe) -> str:
    """Equal for runs whose curves should lie on each other: only seed and devices may differ."""
    return json.dumps([law_key(recipe), recipe.budget.model_dump(mode="json")], sort_keys=True)
