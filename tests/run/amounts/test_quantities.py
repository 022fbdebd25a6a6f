"""One text for an amount, at the command line, in the dashboard and in a log."""

from __future__ import annotations

import pytest

from bertd.records import BudgetUnit
from bertd.run.amounts.quantities import format_budget_amount, format_bytes, format_count, parse_bytes


@pytest.mark.parametrize(
    ("size", "text", "short"),
    [
        (0, "0 B", "0 B"),
        (1023, "1023 B", "1023 B"),
        (1024, "1.0 KiB", "1 KiB"),
        (58 << 20, "58.0 MiB", "58 MiB"),
        (4 << 30, "4.0 GiB", "4.0 GiB"),
        (5 * 1024**5, "5120.0 TiB", "5120.0 TiB"),
    ],
)
def test_bytes_are_in_the_unit_that_suits_them(size: int, text: str, short: str) -> None:
    assert (format_bytes(size), format_bytes(size, is_short=True)) == (text, short)


@pytest.mark.parametrize(
    ("unit", "amount", "text", "short"),
    [
        (BudgetUnit.HOURS, 1 / 30, "2m 00s", "2m 00s"),
        (BudgetUnit.GPU_HOURS, 192.0, "192 GPU-hours", "about 192 GPU-hours"),
        (BudgetUnit.GPU_HOURS, 1.23456789, "1.23457 GPU-hours", "about 1 GPU-hours"),
        (BudgetUnit.STEPS, 23_000.0, "23,000 steps", "23,000 steps"),
        (BudgetUnit.SEQUENCES, 1e8, "100,000,000 sequences", "about 100000000 sequences"),
    ],
)
def test_a_budget_is_named_in_its_unit(unit: BudgetUnit, amount: float, text: str, short: str) -> None:
    assert format_budget_amount(unit, amount) == text
    assert format_budget_amount(unit, amount, format_amount=lambda number: f"about {number:.0f}") == short


def test_one_is_not_many() -> None:
    assert [format_count(number, "document") for number in (0, 1, 2345)] == [
        "0 documents",
        "1 document",
        "2,345 documents",
    ]
    assert [format_count(number, "entry", "entries") for number in (1, 2)] == ["1 entry", "2 entries"]


@pytest.mark.parametrize(
    ("text", "num_bytes"),
    [("10GiB", 10 << 30), ("24 GB", 24 * 10**9), ("512mib", 512 << 20), ("1.5TiB", 3 << 39), ("1KB", 1000)],
)
def test_an_amount_of_memory_has_a_unit(text: str, num_bytes: int) -> None:
    assert parse_bytes(text) == num_bytes


@pytest.mark.parametrize("text", ["", "10", "GiB", "0GB", "-1GB", "1e9GB", "10 GiBs", "nanGB", "\u0661GB"])
def test_what_is_no_amount_of_memory_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="give one such as 10GiB"):
        parse_bytes(text)
