"""Each value of a recipe that ships has its source in a comment next to it or above."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from bertd.run.recipe.load import find_recipe, recipe_folders
from bertd.run.recipe.schema import ValidationSection

SHIPPED = [path for folder in recipe_folders() for path in folder.glob("*.toml")]
NAMES_ANOTHER = {"fast", "fast-fp8"}
"""The comments at their top name the recipe that has the sources."""


def unexplained(text: str) -> list[str]:
    """Keys without a comment; one on its own line, or on a section's, speaks for all keys below it up to a gap."""
    keys, speaks = [], False
    for line in text.splitlines():
        content, has_comment, _ = line.partition("#")
        key, is_value, _ = content.partition("=")
        if not is_value:
            speaks = bool(has_comment)
        elif not has_comment and not speaks:
            keys.append(key.strip())
    return keys


def test_a_comment_speaks_for_the_keys_it_stands_beside_or_above() -> None:
    assert unexplained("[a]\nx = 1\ny = 2  # why\n# why\nz = 3\nu = 4\n\n[b]  # why\nv = 5\n\nw = 6") == ["x", "w"]


@pytest.mark.parametrize(
    "path", [path for path in SHIPPED if path.stem not in NAMES_ANOTHER], ids=lambda path: path.stem
)
def test_every_value_that_ships_has_its_source(path: Path) -> None:
    assert unexplained(path.read_text()) in ([], ["name"])


def test_24hbert_writes_down_how_much_of_the_held_out_data_it_is_judged_by() -> None:
    written = tomllib.loads(find_recipe("24hbert").read_text())["validation"]

    assert written["max_sequences"] == ValidationSection().max_sequences == 16384
