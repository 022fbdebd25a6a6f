"""Whether a job may start or run now, by the times it was submitted with, or why not. Pure."""

from __future__ import annotations

from datetime import tzinfo

from bertd.records import StartTimes
from bertd.run.amounts.local_times import format_local_time, is_open, next_opening


def earliest_start(times: StartTimes, *, now: float, zone: tzinfo | None = None) -> float:
    """When a job may start, in seconds since the epoch; `now` if it may.

    Args:
        zone: None for this machine's local time.
    """
    begin_t = max(now, times.begin_t or now)
    if times.only is None or is_open(times.only, now=begin_t, zone=zone):
        return begin_t
    return next_opening(times.only, now=begin_t, zone=zone)


def reason_to_wait_for_time(times: StartTimes, *, now: float, zone: tzinfo | None = None) -> str:
    """Why a job may not start yet; empty if it may."""
    start_t = earliest_start(times, now=now, zone=zone)
    if start_t <= now:
        return ""
    when = format_local_time(start_t, now=now, zone=zone)
    if times.only is not None and (times.begin_t is None or times.begin_t <= now):
        return f"outside of its hours, {times.only}; may start {when}"
    return f"may start {when}"


def reason_to_pause(times: StartTimes, *, now: float, zone: tzinfo | None = None) -> str:
    """Why a job that runs is paused now; empty if it may run."""
    if times.only is None or is_open(times.only, now=now, zone=zone):
        return ""
    when = format_local_time(next_opening(times.only, now=now, zone=zone), now=now, zone=zone)
    return f"its hours, {times.only}, are over: saves, and continues {when}"
