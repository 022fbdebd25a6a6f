"""Formatting of numbers and times."""

from __future__ import annotations

import pytest

from bertd.records import BudgetUnit
from tui.drawing import formatting


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0.0, "0"),
        (3.14, "3.1"),
        (812.4, "812"),
        (1095.0, "1,095"),
        (52_800, "52.8k"),
        (40.7e6, "40.7M"),
        (1.36e9, "1.36G"),
    ],
)
def test_counts_have_about_four_characters(number: float, text: str) -> None:
    assert formatting.short_count(number) == text


@pytest.mark.parametrize(("share", "text"), [(0.0, "0.0 %"), (0.417, "41.7 %"), (0.99999, "99.9 %"), (1.0, "100.0 %")])
def test_a_share_below_one_is_never_shown_as_100_percent(share: float, text: str) -> None:
    assert formatting.percent(share) == text


@pytest.mark.parametrize(("lr", "text"), [(0.0, "0"), (2e-3, "2.00e-3"), (1.2345e-5, "1.23e-5"), (1.0, "1.00e0")])
def test_learning_rates_are_short_and_zero_is_plain(lr: float, text: str) -> None:
    assert formatting.format_learning_rate(lr) == text


def test_a_time_near_has_seconds_and_another_day_its_name() -> None:
    noon = 1_763_899_200.0  # Sunday, 2025-11-23 12:00 UTC
    assert formatting.clock_near(noon + 90, now=noon) == "12:01:30"
    assert formatting.clock_near(noon + 5 * 3600, now=noon) == "17:00"
    assert formatting.clock_near(noon + 16 * 3600, now=noon) == "Mon 04:00"
    assert formatting.clock_near(noon + 9 * 86400, now=noon) == "2025-12-02 12:00"
    assert formatting.clock_near(1e15, now=noon) == formatting.clock_near(1e300, now=noon) == "far in the future"


@pytest.mark.parametrize(
    ("unit", "amount", "text"),
    [
        (BudgetUnit.HOURS, 24.0, "24h 00m"),
        (BudgetUnit.GPU_HOURS, 192.0, "192 GPU-hours"),
        (BudgetUnit.STEPS, 23_000.0, "23,000 steps"),
        (BudgetUnit.SEQUENCES, 94e6, "94.0M sequences"),
    ],
)
def test_a_budget_is_shown_in_its_own_unit(unit: BudgetUnit, amount: float, text: str) -> None:
    assert formatting.format_amount(unit, amount) == text
