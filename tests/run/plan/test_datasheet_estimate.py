"""bertd.run.plan.datasheet_estimate: the paper's own times come out, and what is not known is refused."""

from __future__ import annotations

import pytest

from bertd.errors import RecipeError
from bertd.run.plan.datasheet_estimate import estimate_from_datasheet, parse_planned_devices
from bertd.run.plan.plan_run import plan_run
from bertd.run.recipe.load import find_recipe, read_recipe
from bertd.run.recipe.schema import Recipe
from tests.run.plan.journals import make_recipe


def recipe_for(count: int) -> Recipe:
    """The paper's, with its number of steps and no time limit."""
    overrides = ["budget.steps=23000", f"devices.count={count}", "data.shards=/nowhere"]
    return read_recipe(find_recipe("24hbert"), overrides=overrides)


@pytest.mark.parametrize(
    ("gpus", "count", "days"),
    [
        ("8xTitan V", 8, 1.00),
        ("rtx3090-1", 1, 5.84),
        ("4x RTX 3090", 4, 1.55),
        ("a100", 1, 2.75),
        ("A100-4", 4, 0.74),
    ],
)
def test_the_papers_table_of_times_comes_out(gpus: str, count: int, days: float) -> None:
    devices = parse_planned_devices(gpus)
    recipe = recipe_for(count)

    plan = plan_run(recipe, estimate_from_datasheet(recipe, devices, vocab_size=30_522, train_sequences=0))

    assert devices.count == count
    assert plan.total_s / 86400 == pytest.approx(days, rel=0.06)
    assert plan.measurements.is_estimate


def test_an_unpublished_gpu_is_taken_to_reach_the_smallest_share() -> None:
    assert parse_planned_devices("h200").share == parse_planned_devices("a100").share


@pytest.mark.parametrize("text", ["", "h20-1", "8x", "xA100", "0xA100", "gtx1080", "99999999xA100"])
def test_what_is_no_known_gpu_is_refused_with_those_that_are(text: str) -> None:
    with pytest.raises(ValueError, match="the GPUs known are A100"):
        parse_planned_devices(text)


def test_a_recipe_for_the_cpu_is_refused() -> None:
    with pytest.raises(RecipeError, match="for the CPU"):
        estimate_from_datasheet(make_recipe(), parse_planned_devices("h200"), vocab_size=30_522, train_sequences=0)
