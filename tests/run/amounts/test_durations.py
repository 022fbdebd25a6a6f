"""bertd.run.amounts.durations."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertd.run.amounts.durations import format_duration, format_exact_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("30min", 1800), ("30 min", 1800), ("5m", 300), ("1.5h", 5400), ("2 hours", 7200), ("2d", 172800)],
)
def test_a_number_and_a_unit_is_a_duration(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "h", "-3s", "1h30m", "1e3s", "5 weeks", "3 s s", "nan s"])
def test_anything_else_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="such as 30min"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (12.4, "12s"), (59.6, "1m 00s"), (249, "4m 09s"), (3599.7, "1h 00m"), (83040, "23h 04m"), (-5, "0s")],
)
def test_a_duration_is_shown_in_its_two_largest_units(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.25, "0.25s"), (12, "12s"), (90.5, "90.5s"), (90, "1m 30s"), (3610, "3610s"), (7200, "2h 00m")],
)
def test_an_exact_duration_leaves_nothing_out(seconds: float, text: str) -> None:
    assert format_exact_duration(seconds) == text


@given(st.floats(min_value=0, max_value=1e7))
def test_what_is_shown_is_off_by_less_than_a_minute(seconds: float) -> None:
    shown = sum(parse_duration(part) for part in format_duration(seconds).split())
    assert abs(shown - seconds) < 60
