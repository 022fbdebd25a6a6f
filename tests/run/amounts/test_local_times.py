from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertd.records import DailyHours
from bertd.run.amounts.local_times import format_local_time, is_open, next_opening, parse_begin, parse_hours, parse_past

BERLIN = ZoneInfo("Europe/Berlin")
NIGHT = DailyHours(from_minute=20 * 60, until_minute=8 * 60)
DAY = DailyHours(from_minute=8 * 60, until_minute=20 * 60)


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN).timestamp()


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("22:00", "2026-11-29T22:00"),
        ("9:30", "2026-11-30T09:30"),
        ("21:15", "2026-11-30T21:15"),  # it is 21:15 now
        ("2026-12-01T08:00", "2026-12-01T08:00"),
        ("2026-12-01 08:00:30", "2026-12-01T08:00:30"),
        ("2026-12-01T08:00+00:00", "2026-12-01T09:00"),
        ("+2h", "2026-11-29T23:15"),
    ],
)
def test_a_begin_is_the_next_such_time_a_date_or_a_delay(text: str, meant: str) -> None:
    assert parse_begin(text, now=at("2026-11-29T21:15"), zone=BERLIN) == at(meant)


@pytest.mark.parametrize(
    "text", ["", "tonight", "24:00", "22:60", "2026-12-01", "2020-01-01T00:00", "+2x", "+9999999h"]
)
def test_what_is_not_a_time_to_come_is_refused_with_what_is(text: str) -> None:
    with pytest.raises(ValueError, match="give|write|over|years"):
        parse_begin(text, now=at("2026-11-29T21:15"), zone=BERLIN)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("10min", "2026-11-29T21:05"),
        ("2h ago", "2026-11-29T19:15"),
        (" 1.5h  ago ", "2026-11-29T19:45"),
        ("1d", "2026-11-28T21:15"),
        ("21:15", "2026-11-29T21:15"),  # it is 21:15 now
        ("21:16", "2026-11-28T21:16"),
        ("9:30", "2026-11-29T09:30"),
        ("2026-11-29T21:15", "2026-11-29T21:15"),
        ("2026-11-28 08:00:30", "2026-11-28T08:00:30"),
        ("2026-11-29T19:00+00:00", "2026-11-29T20:00"),
    ],
)
def test_a_past_time_is_so_long_ago_the_last_such_time_or_a_date(text: str, meant: str) -> None:
    assert parse_past(text, now=at("2026-11-29T21:15"), zone=BERLIN) == at(meant)


def test_the_last_time_of_the_clock_is_right_when_clocks_are_set() -> None:
    # Clocks go from 03:00 back to 02:00 on 2026-10-25, and from 02:00 to 03:00 on 2027-03-28.
    assert parse_past("22:00", now=at("2026-10-25T08:00"), zone=BERLIN) == at("2026-10-24T22:00")
    assert parse_past("00:30", now=at("2027-03-28T08:00"), zone=BERLIN) == at("2027-03-28T00:30")


@pytest.mark.parametrize(
    "text",
    ["", "ago", "yesterday", "24:00", "2026-11-29", "2026-11-29T21:16", "1960-01-01T00:00", "-2h", "2x ago"],
)
def test_what_is_not_a_past_time_is_refused_with_what_is(text: str) -> None:
    with pytest.raises(ValueError, match="give 2h|not in the past"):
        parse_past(text, now=at("2026-11-29T21:15"), zone=BERLIN)


@given(st.text(max_size=20))
def test_no_text_breaks_the_reading_of_a_past_time(text: str) -> None:
    with suppress(ValueError):
        assert 0 <= parse_past(text, now=1e9, zone=BERLIN) <= 1e9


@pytest.mark.parametrize("text", ["20-8", "20:00", "20:00-", "20:00-20:00", "25:00-08:00", "-"])
def test_hours_are_two_times_with_a_dash(text: str) -> None:
    assert parse_hours("20:00-8:00") == NIGHT and str(NIGHT) == "20:00-08:00"
    with pytest.raises(ValueError, match="part of the day|same minute"):
        parse_hours(text)


def test_hours_over_midnight_are_those_of_the_clock_on_the_wall() -> None:
    for time, expected in (("19:59", False), ("20:00", True), ("00:00", True), ("07:59", True), ("08:00", False)):
        assert is_open(NIGHT, now=at(f"2026-11-29T{time}"), zone=BERLIN) is expected
        assert is_open(DAY, now=at(f"2026-11-29T{time}"), zone=BERLIN) is not expected


def test_in_spring_and_autumn_hours_begin_and_end_when_the_clock_shows_it() -> None:
    # Clocks go from 02:00 to 03:00 on 2027-03-28, and from 03:00 back to 02:00 on 2026-10-25.
    for evening, morning, hours in (("2027-03-27", "2027-03-28", 11), ("2026-10-24", "2026-10-25", 13)):
        opens, closes = at(f"{evening}T20:00"), at(f"{morning}T08:00")
        assert closes - opens == hours * 3600
        assert next_opening(NIGHT, now=opens - 60, zone=BERLIN) == opens
        assert is_open(NIGHT, now=closes - 1, zone=BERLIN) and not is_open(NIGHT, now=closes, zone=BERLIN)
    # 02:30 does not exist on that day: it is 03:30.
    begin_t = parse_begin("2027-03-28T02:30", now=at("2027-03-27T20:00"), zone=BERLIN)
    assert format_local_time(begin_t, now=begin_t, zone=BERLIN) == "at 03:30 CEST"


def test_a_time_is_said_with_its_day_and_its_zone() -> None:
    now = at("2026-11-29T21:15")
    for text, said in (
        ("2026-11-29T22:00", "at 22:00 CET"),
        ("2026-11-30T08:00", "tomorrow at 08:00 CET"),
        ("2026-12-01T08:00", "on 2026-12-01 at 08:00 CET"),
    ):
        assert format_local_time(at(text), now=now, zone=BERLIN) == said


@given(
    st.integers(0, 1439),
    st.integers(0, 1439),
    st.floats(at("2026-01-01T00:00"), at("2028-01-01T00:00")),
)
def test_what_is_closed_opens_within_a_day_and_what_opens_was_closed(first: int, last: int, now: float) -> None:
    if first == last:
        return
    hours = DailyHours(from_minute=first, until_minute=last)
    opening = next_opening(hours, now=now, zone=BERLIN)
    assert now < opening <= now + 25 * 3600
    if not is_open(hours, now=now, zone=BERLIN):
        # Closed until then; but for the night on which spring leaves the opening out.
        shown = datetime.fromtimestamp(opening, BERLIN)
        if shown.hour * 60 + shown.minute == first:
            assert is_open(hours, now=opening, zone=BERLIN)
            assert not is_open(hours, now=(now + opening) / 2, zone=BERLIN)
