from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from bertd.daemon.scheduling.conditions.time_check import earliest_start, reason_to_pause, reason_to_wait_for_time
from bertd.records import DailyHours, StartTimes

BERLIN = ZoneInfo("Europe/Berlin")
NIGHT = DailyHours(from_minute=20 * 60, until_minute=8 * 60)


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN).timestamp()


NOON = at("2026-11-29T12:00")


def test_a_job_without_times_may_start_and_run_at_once() -> None:
    assert earliest_start(StartTimes(), now=NOON, zone=BERLIN) == NOON
    assert reason_to_wait_for_time(StartTimes(), now=NOON, zone=BERLIN) == ""
    assert reason_to_pause(StartTimes(), now=NOON, zone=BERLIN) == ""


def test_a_job_waits_for_its_begin_and_says_until_when() -> None:
    times = StartTimes(begin_t=at("2026-11-29T22:00"))
    assert reason_to_wait_for_time(times, now=NOON, zone=BERLIN) == "may start at 22:00 CET"
    assert reason_to_wait_for_time(times, now=at("2026-11-29T22:00"), zone=BERLIN) == ""
    # It waits again where the clock is set back, and never runs less than it was to.
    assert reason_to_wait_for_time(times, now=at("2026-11-29T21:59"), zone=BERLIN) != ""


def test_outside_of_its_hours_a_job_waits_or_is_paused_until_they_begin() -> None:
    times = StartTimes(only=NIGHT)
    assert reason_to_wait_for_time(times, now=NOON, zone=BERLIN) == (
        "outside of its hours, 20:00-08:00; may start at 20:00 CET"
    )
    assert reason_to_pause(times, now=NOON, zone=BERLIN) == (
        "its hours, 20:00-08:00, are over: saves, and continues at 20:00 CET"
    )
    for night in ("2026-11-29T20:00", "2026-11-30T07:59"):
        assert reason_to_wait_for_time(times, now=at(night), zone=BERLIN) == ""
        assert reason_to_pause(times, now=at(night), zone=BERLIN) == ""


def test_a_begin_outside_of_the_hours_is_their_next_beginning() -> None:
    times = StartTimes(begin_t=at("2026-11-30T09:00"), only=NIGHT)
    assert earliest_start(times, now=NOON, zone=BERLIN) == at("2026-11-30T20:00")
    assert reason_to_wait_for_time(times, now=NOON, zone=BERLIN) == "may start tomorrow at 20:00 CET"
