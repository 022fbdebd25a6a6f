"""bertd.validation_text: no text of pydantic's reaches a person raw."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bertd.errors import RecipeError
from bertd.run.recipe.load import parse_recipe

ROOT = Path(__file__).parents[1]
RECIPE = '[run]\nname = "x"\n[budget]\nsteps = 5\n[data]\nshards = "/x"\n'
WRONG = [
    *("run.name=a b", "run.name=3", "run.name=", 'run.name="' + "x" * 70 + '"', "run.seed=-1", "run.seed=1.5", "run=3"),
    *("run.seed=x", "optimizer.peak_lr=fast", "optimizer.peak_lr=nan", "optimizer.peak_lr=0", "optimizer.betas=[0.9]"),
    *(
        "optimizer.betas=3",
        "optimizer.kind=adam",
        "optimizer.betas=[0.9,0.9,0.9]",
        "model.bias=maybe",
        "model.layers=0",
    ),
    *("masking.rate=1.5", "precision.mode=int4", "batch.micro=best", "batch.ramp=3", "checkpoint.markers=[2]"),
    *("devices.count=0", "devices.kind=tpu", "budget.hours=0", "budget.steps=1.5", "data.sequence_length=9999999"),
    *("schedule.warmup=2", "stop.rules=3", "finetune.tasks=3", "data.shards=3", "data.packing=[]"),
]


@pytest.mark.parametrize("override", WRONG)
def test_every_kind_of_mistake_in_a_recipe_is_said_in_plain_words(override: str) -> None:
    with pytest.raises(RecipeError) as caught:
        parse_recipe(RECIPE, name="x.toml", overrides=[override])
    message = str(caught.value)
    assert not re.search(r"Input should|String should|should match|Value error|valid (integer|number|string)", message)
    assert override.partition(".")[0].strip() in message


def test_the_letters_of_a_name_are_said() -> None:
    with pytest.raises(RecipeError, match=r"name = 'a b': give up to 64 letters, digits, dots, dashes and underscores"):
        parse_recipe(RECIPE, name="x.toml", overrides=["run.name=a b"])


def test_no_program_passes_on_what_pydantic_says() -> None:
    for path in [*(ROOT / "bertd").rglob("*.py"), *(ROOT / "tui").rglob("*.py")]:
        if path.name != "validation_text.py":
            assert not re.search(r"""\[["']msg["']\]""", path.read_text()), path
