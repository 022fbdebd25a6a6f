"""The README.md of an export has the data, the recipe, the budget and the losses."""

from __future__ import annotations

from pathlib import Path

import pytest

from bertd.run.data_mixture import MixtureManifest, read_mixture
from bertd.run.recipe.load import parse_recipe
from bertd.train.checkpoint.model_card import model_card
from bertd.train.state import SpikeDetectorState, TrainState
from tests.train.loop.test_train_step import recipe

STATE = TrainState(step=23_000, sequences=94_208_000, charged_s=0.0, recipe_sha256="f00d", data_fingerprint="cafe")


@pytest.fixture
def data(dataset: Path) -> MixtureManifest:
    return read_mixture({str(dataset): 1})


def test_a_card_names_the_data_the_recipe_the_budget_and_what_they_came_to(data: MixtureManifest) -> None:
    state = STATE.model_copy(
        update={"validation_loss": 1.71734, "band": SpikeDetectorState(seen=9, mean=1.83456, distance=0.1)}
    )

    train, validation = data.splits["train"], data.splits["validation"]

    lines = model_card(
        recipe(8, "budget.hours=24"), state, data, mask_token="<mask>", charged_s=23 * 3600 + 300.0
    ).splitlines()

    assert [line for line in lines if line.startswith("| ")][1:] == [
        "| Budget | 24h 00m; charged 23h 05m |",
        "| Steps, sequences | 23,000, 94,208,000 of 16 tokens |",
        "| Training loss | 1.8346 nats (running mean) |",
        "| Validation loss | 1.7173 nats (15% of the tokens masked) |",
        f"| Data to train on | {train.documents:,} documents, {train.tokens:,} tokens |",
        f"| Data to validate with | {validation.documents:,} documents, {validation.tokens:,} tokens |",
        "| Data fingerprint | `cafe` |",
        "| Recipe sha256 | `f00d` |",
    ]
    assert 'pipeline("fill-mask", "path/of/this/folder")("A sentence with one <mask>.")' in lines
    assert lines[:4] == ["---", "library_name: transformers", "pipeline_tag: fill-mask", "---"]


def test_the_recipe_on_a_card_is_the_one_that_was_trained(data: MixtureManifest) -> None:
    trained = recipe(8, "optimizer.peak_lr=3e-4", "run.seed=7", "model.layers=3", "model.width=96", "model.heads=3")

    card = model_card(trained, STATE, data, mask_token="[MASK]", charged_s=0.0)

    assert "\n# r\n\nA masked language model of 3 layers x 96, trained by bertd " in card
    _, _, block = card.partition("```toml\n")
    text, _, rest = block.partition("```")
    assert parse_recipe(text, name="card") == trained and rest == "\n"


def test_a_loss_that_was_not_measured_is_not_made_up(data: MixtureManifest) -> None:
    card = model_card(recipe(8), STATE, data, mask_token="[MASK]", charged_s=0.0)

    assert "| Training loss | not measured |" in card and "| Validation loss | not measured " in card
