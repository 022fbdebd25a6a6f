"""bertd.run.budget."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertd.records import BudgetUnit
from bertd.run.budget import Budget


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
