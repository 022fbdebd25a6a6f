"""A recipe of a tiny model on one process."""

from __future__ import annotations

from bertd.run.recipe.load import parse_recipe
from bertd.run.recipe.schema import Recipe

TINY = """
[run]
name = "tiny"
[budget]
{budget}
[data]
shards = "{shards}"
sequence_length = 32
[model]
layers = 1
width = 32
heads = 2
ffn = 64
[batch]
sequences = 8
micro = 4
[validation]
max_sequences = 16
[devices]
kind = "cpu"
count = 1
"""


def tiny(*, budget: str = "hours = 2", shards: str = "/nowhere") -> Recipe:
    """The recipe, with this line as its budget."""
    return parse_recipe(TINY.format(budget=budget, shards=shards), name="tiny")
