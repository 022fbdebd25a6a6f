"""bertd.run.budget."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertd.errors import RecipeError
from bertd.records import (
    BudgetRecord,
    BudgetRequest,
    BudgetUnit,
    Command,
    CommandKind,
    CommandRecord,
)
from bertd.run.budget import (
    Budget,
    BudgetChange,
    BudgetPlan,
    RunPosition,
    TimeLeft,
    answer_budget_command,
    check_budget_request,
    end_reserve_s,
    find_time_left,
)
from bertd.run.progress import fold_records


@pytest.mark.parametrize(
    ("unit", "spent"),
    [(BudgetUnit.HOURS, 2.0), (BudgetUnit.GPU_HOURS, 16.0), (BudgetUnit.STEPS, 30.0), (BudgetUnit.SEQUENCES, 960.0)],
)
def test_each_unit_counts_its_own_thing(unit: BudgetUnit, spent: float) -> None:
    budget = Budget(unit=unit, amount=1000.0, num_devices=8)
    assert budget.spent(charged_s=7200, steps=30, sequences=960) == spent
    assert budget.progress(charged_s=7200, steps=30, sequences=960) == spent / 1000


def test_a_gpu_hour_budget_lasts_the_shorter_the_more_gpus_it_pays() -> None:
    assert Budget(unit=BudgetUnit.GPU_HOURS, amount=24, num_devices=8).total_s == 3 * 3600
    assert Budget(unit=BudgetUnit.HOURS, amount=24, num_devices=8).total_s == 24 * 3600


@pytest.mark.parametrize("unit", [BudgetUnit.STEPS, BudgetUnit.SEQUENCES])
def test_a_budget_of_work_has_no_length_in_time(unit: BudgetUnit) -> None:
    budget = Budget(unit=unit, amount=24, num_devices=8)
    assert budget.total_s is None
    assert not budget.is_timed


@given(
    unit=st.sampled_from(list(BudgetUnit)),
    amount=st.floats(min_value=1e-3, max_value=1e9),
    num_devices=st.integers(min_value=1, max_value=64),
    spendings=st.lists(st.tuples(st.floats(0, 1e7), st.integers(0, 10**9), st.integers(0, 10**12)), min_size=2),
)
def test_progress_stays_between_nothing_and_all_and_never_falls(
    unit: BudgetUnit, amount: float, num_devices: int, spendings: list[tuple[float, int, int]]
) -> None:
    budget = Budget(unit=unit, amount=amount, num_devices=num_devices)
    columns = zip(*spendings, strict=True)
    rising = zip(*(sorted(column) for column in columns), strict=True)
    shares = [budget.progress(charged_s=float(c), steps=int(s), sequences=int(q)) for c, s, q in rising]
    assert shares == sorted(shares)
    assert all(0 <= share <= 1 for share in shares)


@given(amount=st.floats(min_value=1e-3, max_value=1e4), num_devices=st.integers(min_value=1, max_value=64))
def test_a_timed_budget_is_spent_when_its_time_is(amount: float, num_devices: int) -> None:
    for unit in (BudgetUnit.HOURS, BudgetUnit.GPU_HOURS):
        budget = Budget(unit=unit, amount=amount, num_devices=num_devices)
        assert budget.total_s is not None
        assert budget.progress(charged_s=budget.total_s, steps=0, sequences=0) == pytest.approx(1.0, abs=1e-12)


HOURS = Budget(unit=BudgetUnit.HOURS, amount=2.0, num_devices=1)
AT = RunPosition(t=0.0, step=10, sequences=80, charged_s=3600.0)


def test_a_changed_budget_bends_the_schedule_and_does_not_break_it() -> None:
    plan = BudgetPlan(HOURS).with_change(spent=1.0, amount=5.0).with_change(spent=3.0, amount=4.0)

    assert plan.granted.amount == 4.0
    # Half done when two hours became five; of the other half, half again was done when they became four.
    assert [plan.schedule_progress(spent) for spent in (0.0, 0.5, 1.0, 2.0, 3.0, 3.5, 4.0)] == [
        0.0,
        0.25,
        0.5,
        0.625,
        0.75,
        0.875,
        1.0,
    ]


def test_the_learning_rate_has_no_jump_where_the_budget_changes() -> None:
    before = BudgetPlan(HOURS)
    after = before.with_change(spent=0.7, amount=30.0)

    assert after.schedule_progress(0.7, reserve=0.05) == before.schedule_progress(0.7, reserve=0.05)
    assert after.schedule_progress(29.95, reserve=0.05) == 1.0


@given(
    changes=st.lists(st.tuples(st.floats(0, 90), st.floats(0.5, 200)), max_size=6),
    reserve=st.floats(0, 3),
    places=st.lists(st.floats(0, 300), min_size=2),
)
def test_however_a_budget_is_changed_the_schedule_never_goes_back(
    changes: list[tuple[float, float]], reserve: float, places: list[float]
) -> None:
    plan = BudgetPlan(HOURS)
    for spent, amount in changes:
        plan = plan.with_change(spent=spent, amount=amount)
    progress = [plan.schedule_progress(spent, reserve=reserve) for spent in sorted(places)]

    assert progress == sorted(progress)
    assert all(0.0 <= share <= 1.0 for share in progress)
    assert plan.schedule_progress(1000.0, reserve=reserve) == 1.0


def test_steps_done_again_get_the_rates_they_had() -> None:
    steps = Budget(unit=BudgetUnit.STEPS, amount=100, num_devices=1)
    plan = BudgetPlan(steps).with_change(spent=60, amount=200)

    assert [plan.schedule_progress(step + 0.5) for step in range(60)] == [(step + 0.5) / 100 for step in range(60)]
    # Restarted from step 40 and changed again at 45: the changes after that are void.
    assert plan.with_change(spent=45, amount=300).changes == (BudgetChange(spent=45, amount=300),)


def command(amount: float, unit: BudgetUnit = BudgetUnit.HOURS) -> Command:
    return Command(
        number=3, t=0.0, verb=CommandKind.BUDGET, asked_by="x", budget=BudgetRequest(unit=unit, amount=amount)
    )


def test_an_order_becomes_a_change_and_its_answer() -> None:
    change, answer = answer_budget_command(command(30.0), HOURS, position=AT)

    assert isinstance(change, BudgetRecord)
    assert (change.before, change.after, change.spent, change.unit) == (2.0, 30.0, 1.0, BudgetUnit.HOURS)
    assert isinstance(answer, CommandRecord)
    assert (answer.number, answer.outcome, answer.detail) == (3, "done", "from 2h 00m to 30h 00m")
    assert fold_records([change, answer]).budget_plan(HOURS).granted.amount == 30.0


def test_the_same_order_again_changes_nothing() -> None:
    (answer,) = answer_budget_command(command(2.0), HOURS, position=AT)

    assert isinstance(answer, CommandRecord)
    assert (answer.outcome, answer.detail) == ("done", "the budget is 2h 00m already")


@pytest.mark.parametrize(
    ("order", "reason"),
    [
        (command(1.0), "1h 00m is too little: 1h 00m of 2h 00m is spent; give more, or end the run with `bertd stop`"),
        (command(2e6), "2000000h 00m: more than any run lasts; give at most 1000000h 00m"),
        (command(500, BudgetUnit.STEPS), "budget: 500 steps: this run counts hours; give that"),
        (command(1 / 360), "budget: 10s is too little: 1h 00m of 2h 00m is spent"),
    ],
)
def test_what_cannot_be_is_refused_with_the_numbers(order: Command, reason: str) -> None:
    (answer,) = answer_budget_command(order, HOURS, position=AT)

    assert isinstance(answer, CommandRecord)
    assert answer.outcome == "refused" and reason in answer.detail


def test_a_budget_that_leaves_no_room_for_the_end_is_refused() -> None:
    (answer,) = answer_budget_command(command(1.1), HOURS, position=AT, reserve_s=600.0)

    assert isinstance(answer, CommandRecord)
    assert answer.outcome == "refused" and "and its end takes 10m 00s" in answer.detail


def test_half_a_step_cannot_be_granted() -> None:
    steps = Budget(unit=BudgetUnit.STEPS, amount=100, num_devices=1)
    with pytest.raises(RecipeError, match="give a whole number"):
        check_budget_request(BudgetRequest(unit=BudgetUnit.STEPS, amount=10.5), steps, spent=1.0)


def test_training_stops_the_reserve_before_the_end_of_the_budget() -> None:
    reserve_s = end_reserve_s(validation_s=10.0, save_s=25.0)
    assert reserve_s == pytest.approx(1.3 * (10 + 25 + 25))
    assert find_time_left(HOURS, charged_s=7000.0, reserve_s=80.0) == TimeLeft(training_s=120.0, reserve_s=80.0)
    assert find_time_left(HOURS, charged_s=7150.0, reserve_s=80.0) == TimeLeft(training_s=-30.0, reserve_s=50.0)
    assert find_time_left(HOURS, charged_s=7300.0, reserve_s=80.0) == TimeLeft(training_s=-180.0, reserve_s=0.0)


def test_a_reserve_that_nobody_measured_is_none() -> None:
    assert end_reserve_s(validation_s=None, save_s=None) == 0.0


def test_half_the_budget_at_most_is_kept() -> None:
    assert find_time_left(HOURS, charged_s=0.0, reserve_s=1e6) == TimeLeft(training_s=3600.0, reserve_s=3600.0)


@pytest.mark.parametrize("unit", [BudgetUnit.STEPS, BudgetUnit.SEQUENCES])
def test_a_budget_of_work_has_no_time_left_and_no_reserve(unit: BudgetUnit) -> None:
    budget = Budget(unit=unit, amount=100.0, num_devices=1)
    assert find_time_left(budget, charged_s=10.0, reserve_s=5.0) is None
