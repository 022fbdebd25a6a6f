"""Each doubt about a plan is raised where it is due, and not elsewhere."""

from __future__ import annotations

from pathlib import Path

from bertd.run.plan.measurements import Measurements, read_measurements
from bertd.run.plan.plan_run import plan_run
from bertd.run.plan.plan_warnings import find_warnings
from bertd.run.recipe.schema import Recipe
from tests.run.plan.journals import SimulatedMachine, make_recipe

SHORT = "budget.hours=0.06"


def codes(recipe: Recipe, measured: Measurements, *, free_bytes: int | None = None) -> set[str]:
    """Of all warnings about the recipe's plan at this speed."""
    found = find_warnings(recipe, plan_run(recipe, measured), free_bytes=free_bytes, folder=Path("/runs"))
    assert all(warning.message for warning in found)
    return {warning.code for warning in found}


def measure(machine: SimulatedMachine | None = None) -> Measurements:
    """A minute of a simulated machine."""
    return read_measurements(
        (machine or SimulatedMachine()).run(make_recipe("budget.hours=1"), until_s=120), source="it"
    )


def test_a_sound_plan_has_no_warning() -> None:
    assert codes(make_recipe(SHORT), measure(), free_bytes=1 << 40) == set()


def test_a_budget_without_a_step() -> None:
    assert "no_step" in codes(make_recipe("budget.hours=0.001"), measure())


def test_data_that_is_read_too_often() -> None:
    assert "repeated_data" in codes(make_recipe("budget.hours=3"), measure())


def test_a_large_batch_for_few_steps() -> None:
    assert "large_batch" in codes(make_recipe(SHORT, "batch.sequences=512"), measure())


def test_a_short_warmup() -> None:
    assert "short_warmup" in codes(make_recipe(SHORT, "schedule.warmup=0.001"), measure())


def test_a_slow_start() -> None:
    assert "slow_start" in codes(make_recipe(SHORT), measure(SimulatedMachine(start_s=50, compile_s=40)))


def test_slow_validations_and_saves() -> None:
    slow = measure(SimulatedMachine(validation_s=3.0, stall_s=3.0))
    assert {"slow_validation", "slow_saves"} <= codes(make_recipe(SHORT), slow)


def test_a_disk_that_is_too_small() -> None:
    assert "disk" in codes(make_recipe(SHORT), measure(), free_bytes=1 << 20)
    assert "disk" not in codes(make_recipe(SHORT), measure(), free_bytes=None)


def test_a_large_model_with_too_few_sequences_for_the_papers_quality() -> None:
    large = measure().model_copy(update={"num_parameters": 336_000_000})
    assert "below_paper" in codes(make_recipe(SHORT), large)
    fast = large.model_copy(update={"sequences_per_s": 1e6})
    assert "below_paper" not in codes(make_recipe(SHORT), fast)


def test_what_makes_the_measurement_itself_doubtful() -> None:
    doubtful = measure().model_copy(
        update={"speed_spread": 0.3, "data_wait": 0.2, "num_devices": 1, "step_sequences": 8}
    )
    assert {"busy", "data_wait", "other_devices", "other_batch"} <= codes(make_recipe(SHORT), doubtful)
    # A steady load does not make the speed vary.
    loaded = measure().model_copy(update={"other_load": 1.0})
    assert "busy" in codes(make_recipe(SHORT), loaded)
    assert "busy" not in codes(make_recipe(SHORT), loaded.model_copy(update={"other_load": 0.1}))
