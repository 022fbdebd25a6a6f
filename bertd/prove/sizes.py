"""The models that a proof trains: the real one, and a tiny one that only tries the proof itself."""

from __future__ import annotations

from pathlib import Path

from bertd.run.recipe.load import find_recipe, parse_recipe, read_recipe
from bertd.run.recipe.schema import Recipe

_TINY = """
[run]
name = "tiny"
[budget]
steps = 12
[data]
shards = "none"
sequence_length = 32
[masking]
rate = 0.3
max_predictions = 10
[model]
layers = 2
width = 64
heads = 2
ffn = 128
dropout = 0.0
attention_dropout = 0.0
head_bias = "frequency"
[optimizer]
kind = "muon"
[batch]
sequences = 16
micro = 8
[validation]
max_sequences = 16
[devices]
kind = "cpu"
count = 1
"""
TINY_VOCABULARY = 512
REAL_VOCABULARY = 30_522
"""bert-base-uncased's."""


def choose_recipe(*, is_cuda: bool, is_tiny: bool, overrides: list[str] | None = None) -> Recipe:
    """fast on one GPU, the four layers that the goals know on a CPU, or a tiny model."""
    overrides = overrides or []
    if is_tiny:
        kind = "gpu" if is_cuda else "cpu"
        return parse_recipe(_TINY, name="tiny", overrides=[f"devices.kind={kind}", *overrides])
    if is_cuda:
        return read_recipe(find_recipe("fast"), overrides=["devices.count=1", *overrides])
    small = ["model.layers=4", "batch.sequences=32", "batch.micro=16", "devices.count=1"]
    return read_recipe(find_recipe("demo"), overrides=[*small, *overrides])


def with_data(shards: Path) -> list[str]:
    """The override that names a data set."""
    return [f'data.shards="{shards}"']
