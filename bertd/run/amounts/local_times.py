"""Points in time and hours of the day as people write them: `22:00`, `2026-12-01T08:00`, `+2h`, `2h ago`. Pure.

All of them are in local time. Whether hours of the day are open is read from the clock on the wall at each look, and
nothing is counted down: so a change to or from daylight saving time, or a clock that is set, needs no rule of its own.
The local time of an hour that is left out in spring is that much later; of one that comes twice, it is the first.
"""

from __future__ import annotations

import re
import reprlib
from collections.abc import Iterator
from datetime import datetime, timedelta, tzinfo

from bertd.records import DailyHours
from bertd.run.amounts.durations import parse_duration

_TIME = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)")
_FURTHEST = timedelta(days=3660)
_HELP = "give 22:00, 2026-12-01T08:00 or +2h"
_PAST_HELP = "give 2h, 22:00 or 2026-12-01T08:00"


def parse_begin(text: str, *, now: float, zone: tzinfo | None = None) -> float:
    """The seconds since the epoch that a text means: the next time the clock shows it, a date with a time, or a delay.

    Args:
        zone: None for this machine's local time.

    Raises:
        ValueError: it is none of them, is over, or is more than ten years away.
    """
    local_now = datetime.fromtimestamp(now, zone)
    if text.startswith("+"):
        begin_t = now + parse_duration(text[1:])
    elif match := _TIME.fullmatch(text):
        begin_t = _next(int(match[1]) * 60 + int(match[2]), after=now, zone=zone)
    else:
        begin_t = _parse_date_and_time(text, zone=zone, help=_HELP)
        if begin_t <= now:
            raise ValueError(f"{text!r} is over; it is {local_now:%Y-%m-%d %H:%M}")
    if begin_t > now + _FURTHEST.total_seconds():
        raise ValueError(f"{text!r} is more than ten years away; {_HELP}")
    return begin_t


def parse_past(text: str, *, now: float, zone: tzinfo | None = None) -> float:
    """Seconds since the epoch of a past time: so long ago, the last time the clock showed it, or a date with a time.

    Args:
        zone: None for this machine's local time.

    Raises:
        ValueError: it is none of them, or is not over yet.
    """
    text = text.strip()
    if match := _TIME.fullmatch(text):
        return _last(int(match[1]) * 60 + int(match[2]), until=now, zone=zone)
    try:
        return max(0.0, now - parse_duration(text.removesuffix("ago")))
    except ValueError:
        t = _parse_date_and_time(text, zone=zone, help=_PAST_HELP)
    if not 0 <= t <= now:
        local_now = datetime.fromtimestamp(now, zone)
        raise ValueError(f"{text!r} is not in the past; it is {local_now:%Y-%m-%d %H:%M}")
    return t


def parse_hours(text: str) -> DailyHours:
    """Hours of the day.

    Raises:
        ValueError: they are not two times with a dash, or they are equal.
    """
    begin, dash, end = text.partition("-")
    times = [_TIME.fullmatch(part.strip()) for part in (begin, end)]
    if not dash or times[0] is None or times[1] is None:
        raise ValueError(f"{text!r} is not a part of the day; give it as 20:00-08:00")
    first, last = (int(match[1]) * 60 + int(match[2]) for match in times if match is not None)
    if first == last:
        raise ValueError(f"{text!r} begins and ends at the same minute; leave it out for the whole day")
    return DailyHours(from_minute=first, until_minute=last)


def is_open(hours: DailyHours, *, now: float, zone: tzinfo | None = None) -> bool:
    """Whether the clock on the wall shows one of these hours."""
    local = datetime.fromtimestamp(now, zone)
    minute = local.hour * 60 + local.minute
    if hours.from_minute < hours.until_minute:
        return hours.from_minute <= minute < hours.until_minute
    return minute >= hours.from_minute or minute < hours.until_minute


def next_opening(hours: DailyHours, *, now: float, zone: tzinfo | None = None) -> float:
    """When they begin next, in seconds since the epoch."""
    return _next(hours.from_minute, after=now, zone=zone)


def format_local_time(t: float, *, now: float, zone: tzinfo | None = None) -> str:
    """`at 22:00`, `tomorrow at 22:00` or `on 2026-12-24 at 22:00`, and the name of the time zone."""
    local, today = datetime.fromtimestamp(t, zone).astimezone(zone), datetime.fromtimestamp(now, zone).date()
    days = (local.date() - today).days
    day = {0: "", 1: "tomorrow "}.get(days, f"on {local:%Y-%m-%d} ")
    return f"{day}at {local:%H:%M} {local:%Z}".rstrip()


def _parse_date_and_time(text: str, *, zone: tzinfo | None, help: str) -> float:
    """Seconds since the epoch.

    Raises:
        ValueError: it is not a date with a time.
    """
    try:
        written = datetime.fromisoformat(text)
        t = (written if written.tzinfo is not None else written.replace(tzinfo=zone)).timestamp()
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{reprlib.repr(text)} is not a time; {help}") from error
    if "T" not in text and " " not in text:
        raise ValueError(f"{text!r} has no time of day; {help}")
    return t


def _next(minute: int, *, after: float, zone: tzinfo | None) -> float:
    """When the clock on the wall shows that minute of the day next."""
    return next(t for t in _on_days(range(3), minute, near=after, zone=zone) if t > after)


def _last(minute: int, *, until: float, zone: tzinfo | None) -> float:
    """When the clock on the wall showed that minute of the day last."""
    return next(t for t in _on_days(range(0, -3, -1), minute, near=until, zone=zone) if t <= until)


def _on_days(days: range, minute: int, *, near: float, zone: tzinfo | None) -> Iterator[float]:
    """When the clock shows that minute on each of the days, counted from that of `near`."""
    midnight = datetime.fromtimestamp(near, zone).replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    for day in days:
        yield (midnight + timedelta(days=day)).replace(hour=minute // 60, minute=minute % 60).timestamp()
