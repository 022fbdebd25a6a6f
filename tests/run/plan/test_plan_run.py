"""A plan from a minute of a run says what the whole run does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertd.errors import RunFolderError
from bertd.records import StepRecord, ValidationRecord
from bertd.run.plan.measurements import read_measurements
from bertd.run.plan.plan_run import plan_run
from tests.run.plan.journals import SimulatedMachine, make_recipe

MACHINE = SimulatedMachine()


@given(
    step_s=st.floats(0.01, 2.0),
    validation_s=st.floats(0.05, 3.0),
    stall_s=st.floats(0.0, 1.0),
    start_s=st.floats(3.0, 20.0),
    minutes=st.floats(3.0, 30.0),
)
def test_the_plan_of_a_minute_is_what_the_whole_run_does(
    step_s: float, validation_s: float, stall_s: float, start_s: float, minutes: float
) -> None:
    machine = SimulatedMachine(step_s=step_s, validation_s=validation_s, stall_s=stall_s, start_s=start_s)
    recipe = make_recipe(f"budget.hours={minutes / 60!r}")
    whole = list(machine.run(recipe))

    plan = plan_run(recipe, read_measurements(machine.run(recipe, until_s=start_s + 60), source="a minute"))

    steps = max(record.step for record in whole if isinstance(record, StepRecord))
    validations = sum(isinstance(record, ValidationRecord) for record in whole) - 1
    assert plan.steps == pytest.approx(steps, rel=0.03, abs=4)
    assert plan.account.num_validations == pytest.approx(validations, rel=0.1, abs=1)
    assert plan.total_s == pytest.approx(minutes * 60)


def test_the_account_sums_to_a_timed_budget() -> None:
    recipe = make_recipe("budget.hours=1")

    plan = plan_run(recipe, read_measurements(MACHINE.run(recipe, until_s=60), source="a minute"))

    assert plan.account.total_s == pytest.approx(3600)
    assert plan.account.compile_s == MACHINE.compile_s
    assert plan.account.start_s + plan.account.compile_s == pytest.approx(MACHINE.start_s)
    assert plan.sequences == pytest.approx(plan.steps * recipe.batch.sequences, rel=0.001)
    assert plan.epochs == pytest.approx(plan.sequences / 10_000)
    assert plan.device_hours == pytest.approx(2.0)


def test_a_budget_of_steps_is_planned_in_time() -> None:
    timed = make_recipe("budget.hours=1")
    measured = read_measurements(MACHINE.run(timed, until_s=60), source="a minute")
    steps = plan_run(timed, measured).steps

    plan = plan_run(make_recipe(f"budget.steps={steps}", "checkpoint.every=36s"), measured)

    assert plan.steps == steps
    # A budget of steps has no early validations.
    assert plan.total_s == pytest.approx(3600, rel=0.02)


def test_a_budget_of_sequences_is_planned_in_steps() -> None:
    recipe = make_recipe("budget.sequences=16000")

    plan = plan_run(recipe, read_measurements(MACHINE.run(make_recipe(), until_s=60), source="a minute"))

    assert (plan.steps, plan.sequences) == (1000, 16000)


def test_a_budget_that_the_start_takes_buys_nothing() -> None:
    measured = read_measurements(SimulatedMachine(start_s=200.0).run(make_recipe("budget.hours=1")), source="slow")

    plan = plan_run(make_recipe("budget.hours=0.03"), measured)

    assert (plan.steps, plan.sequences) == (0, 0.0)


def test_gpu_hours_are_counted_for_each_device() -> None:
    recipe = make_recipe("budget.gpu_hours=2", "devices.count=2")
    measured = read_measurements(MACHINE.run(make_recipe("budget.hours=1"), until_s=60), source="a minute")

    plan = plan_run(recipe, measured)

    assert plan.total_s == pytest.approx(3600)
    assert plan.device_hours == pytest.approx(2.0)


def test_more_devices_than_were_measured_are_taken_as_so_much_faster() -> None:
    one = read_measurements(MACHINE.run(make_recipe("budget.hours=1"), until_s=60, world_size=1), source="one")
    recipe = make_recipe("budget.sequences=160000", "devices.count=2")

    assert plan_run(recipe, one).account.training_s == pytest.approx(160_000 / 160 / 2)


def test_a_journal_without_steps_measures_nothing() -> None:
    records = [record for record in MACHINE.run(make_recipe()) if not isinstance(record, StepRecord)]

    with pytest.raises(RunFolderError, match="7-run: no steps were measured"):
        read_measurements(records, source="7-run")


def test_a_second_attempt_is_measured_by_itself() -> None:
    recipe = make_recipe("budget.hours=1")
    slow, fast = SimulatedMachine(step_s=1.0), SimulatedMachine(step_s=0.1)

    measured = read_measurements([*slow.run(recipe, until_s=60), *fast.run(recipe, until_s=60)], source="both")

    assert measured.sequences_per_s == pytest.approx(160)
