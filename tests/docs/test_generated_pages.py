"""The generated pages are those of this code: `make docs` writes them."""

from __future__ import annotations

import pytest

from bertd.cli.reference.__main__ import PAGES
from bertd.run.recipe.schema import Recipe, RecipeSection
from tests.docs.command_lines import ROOT


@pytest.mark.parametrize("name", PAGES)
def test_a_generated_page_is_up_to_date(name: str) -> None:
    assert (ROOT / "docs" / name).read_text(encoding="utf-8") == PAGES[name](), "run `make docs`"


def test_every_key_of_a_recipe_has_a_meaning() -> None:
    for name, field in Recipe.model_fields.items():
        section = field.annotation
        assert isinstance(section, type) and issubclass(section, RecipeSection)
        for key, each in section.model_fields.items():
            assert each.description, f"{name}.{key} has no docstring"
            assert not each.description.startswith("Source"), f"{name}.{key} has a source and no meaning"
