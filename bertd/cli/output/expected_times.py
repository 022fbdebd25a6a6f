"""Word when a job is expected to start and end. Pure, but for the time zone."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from bertd.run.amounts.durations import format_duration

if TYPE_CHECKING:
    from bertd.api.models import JobView

LATE = "takes longer than expected"


def format_clock(t: float, *, now: float) -> str:
    """Local time of day, with the day where it is another one: `22:15`, `Tue 08:00`, `2026-12-24 08:00`."""
    try:
        then, today = datetime.fromtimestamp(t), datetime.fromtimestamp(now)
    except (ValueError, OverflowError):
        return "in many years"
    days = (then.date() - today.date()).days
    if days == 0:
        return f"{then:%H:%M}"
    return f"{then:%a %H:%M}" if abs(days) < 7 else f"{then:%Y-%m-%d %H:%M}"


def format_expected(t: float | None, *, now: float, unknown: str) -> str:
    """A time to come; `now` where it is past, and `unknown` where it is not known."""
    if t is None:
        return unknown
    return "now" if t <= now else format_clock(t, now=now)


def describe_reason(job: JobView, *, now: float) -> str:
    """Why a job is in its state, and that it takes longer than expected."""
    is_late = job.expected_end_t is not None and job.expected_end_t <= now
    return f"{job.reason}, {LATE}" if is_late else job.reason


def describe_expected_times(job: JobView, *, now: float) -> str:
    """When it starts and ends, with how long that is from now; empty where nothing is known."""
    times = (("starts", job.expected_start_t), ("ends", job.expected_end_t))
    return ", ".join(
        f"{verb} about {format_clock(t, now=now)} (in {format_duration(t - now)})"
        for verb, t in times
        if t is not None and t > now
    )
