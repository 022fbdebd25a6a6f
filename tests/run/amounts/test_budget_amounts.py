"""bertd.run.amounts.budget_amounts."""

from __future__ import annotations

import pytest

from bertd.records import BudgetUnit
from bertd.run.amounts.budget_amounts import BudgetAmount, parse_budget_amount


@pytest.mark.parametrize(
    ("text", "unit", "amount", "is_relative"),
    [
        ("24h", BudgetUnit.HOURS, 24.0, False),
        ("90 min", BudgetUnit.HOURS, 1.5, False),
        ("+2h", BudgetUnit.HOURS, 2.0, True),
        ("-30min", BudgetUnit.HOURS, -0.5, True),
        ("192gpu-hours", BudgetUnit.GPU_HOURS, 192.0, False),
        ("5000steps", BudgetUnit.STEPS, 5000.0, False),
        ("+1000 Sequences", BudgetUnit.SEQUENCES, 1000.0, True),
    ],
)
def test_an_amount_has_a_number_and_a_unit(text: str, unit: BudgetUnit, amount: float, is_relative: bool) -> None:
    assert parse_budget_amount(text) == BudgetAmount(unit=unit, amount=amount, is_relative=is_relative)


@pytest.mark.parametrize(
    "text", ["", "24", "h", "1e9h", "nanh", "24 parsecs", "--2h", "2h 30min", "9" * 30 + "h", "²h"]
)
def test_what_is_no_amount_is_refused_with_examples(text: str) -> None:
    with pytest.raises(ValueError, match="is not a budget; write a number and its unit, such as 24h, 30min"):
        parse_budget_amount(text)


def test_more_than_any_run_lasts_is_refused() -> None:
    with pytest.raises(ValueError, match="longer than 1,000,000h"):
        parse_budget_amount("99999999h")
