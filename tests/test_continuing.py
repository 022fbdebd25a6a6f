"""The models of docs/continuing.md are those that transformers knows."""

from __future__ import annotations

import re
import tomllib
from contextlib import suppress
from pathlib import Path

import pytest
from transformers import AutoConfig

from bertd.errors import CheckpointError
from bertd.model.pretrained import require_same_computation
from bertd.run.recipe.load import find_recipe, read_recipe
from bertd.run.recipe.schema import ModelSection
from bertd.train.run_inputs import encoder_config

PAGE = Path(__file__).parent.parent / "docs" / "continuing.md"
PUBLISHED = {
    "bert-base": AutoConfig.for_model("bert"),
    "modernbert-base": AutoConfig.for_model("modernbert"),
    "efficient-mlm": AutoConfig.for_model(
        "roberta-prelayernorm",
        hidden_size=1024,
        num_hidden_layers=24,
        num_attention_heads=16,
        intermediate_size=4096,
        layer_norm_eps=1e-5,
        max_position_embeddings=514,
        type_vocab_size=1,
        vocab_size=50265,
        position_embedding_type="absolute",
    ),
}
"""The first two are the defaults of their classes; the last has the keys of its config.json."""


def blocks() -> list[str]:
    return re.findall(r"```toml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize(("name", "number"), [(name, number) for number, name in enumerate(PUBLISHED)])
def test_its_model_computes_what_the_published_one_does_and_no_other(name: str, number: int) -> None:
    model = ModelSection.model_validate(tomllib.loads(blocks()[number])["model"])
    recipe = read_recipe(find_recipe("24hbert")).model_copy(update={"model": model})

    fitting = []
    for each, stock in PUBLISHED.items():
        with suppress(CheckpointError):
            require_same_computation(each, stock, encoder_config(recipe, vocab_size=stock.vocab_size))
            fitting.append(each)

    assert fitting == [name]


def test_there_is_no_other_model_on_the_page() -> None:
    assert len(blocks()) == len(PUBLISHED)
