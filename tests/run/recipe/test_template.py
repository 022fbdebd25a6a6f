"""bertd.run.recipe.template: a recipe without its defaults is the same recipe."""

from __future__ import annotations

from pathlib import Path

import pytest

from bertd.run.recipe.load import format_recipe, parse_recipe, read_recipe
from bertd.run.recipe.template import format_template

RECIPES = sorted((Path(__file__).parents[3] / "recipes").glob("*.toml"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_template_is_read_back_as_the_same_recipe_and_has_no_defaults(path: Path) -> None:
    recipe = read_recipe(path)
    text = format_template(recipe, run_id="7-x")
    assert parse_recipe(text, name="template") == recipe
    assert len(text.splitlines()) < len(format_recipe(recipe).splitlines())
