"""bertd.run.recipe.sweep_grid: what of JSON a grid may have; test_sweep_file.py has the rest."""

from __future__ import annotations

import pytest
from pydantic import JsonValue

from bertd.errors import RecipeError
from bertd.records import SweepSpec
from bertd.run.recipe.sweep_grid import expand_settings


@pytest.mark.parametrize("value", [None, {}, {"x": 1}, {"x": None}, [None], [[None]], [1, {"x": 1}], [[{}]]], ids=repr)
@pytest.mark.parametrize("part", ["grid", "fixed"])
def test_a_null_or_a_table_within_a_value_is_a_wrong_recipe(value: JsonValue, part: str) -> None:
    """TOML has no null, which its writer raises TypeError for; a table would end the line of the override."""
    given: dict[str, JsonValue] = {"run.seed": 1}
    spec = SweepSpec(
        name="a",
        end_s=None,
        fixed={"model.layers": value} if part == "fixed" else {},
        grid={"model.layers": [value, 2]} if part == "grid" else {key: [each] for key, each in given.items()},
    )
    with pytest.raises(RecipeError, match=r"model\.layers = .*give a"):
        expand_settings(spec, recipe_toml="", recipe_name="r.toml", name="s.toml")
