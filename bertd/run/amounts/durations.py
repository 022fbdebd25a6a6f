"""Durations as people write them: 90s, 30min, 1.5h, 2d."""

from __future__ import annotations

import re
import reprlib

MAX_DURATION_S = 3.6e9
"""A million hours, a century: more digits are a typing error, and 400 of them are infinity."""
UNITS_S = {"s": 1.0, "sec": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "hours": 3600.0, "d": 86400.0}
"""Seconds of each unit of a duration."""
_PATTERN = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*(s|sec|min|m|hours|h|d)\s*$")


def parse_duration(text: str) -> float:
    """Seconds in a text such as `30 min`.

    Raises:
        ValueError: not a number followed by s, min, h or d, or longer than a century.
    """
    match = _PATTERN.match(text)
    if match is None:
        raise ValueError(f"{reprlib.repr(text)} is not a duration; write a number and s, min, h or d, such as 30min")
    seconds = float(match[1]) * UNITS_S[match[2]]
    if seconds > MAX_DURATION_S:
        raise ValueError(f"{reprlib.repr(text)} is longer than {MAX_DURATION_S / 3600:,.0f}h; write a shorter duration")
    return seconds


def format_exact_duration(seconds: float) -> str:
    """As `format_duration` if that leaves nothing out; else all seconds, such as `0.25s` or `3610s`."""
    shown = format_duration(seconds)
    is_exact = seconds == round(seconds) and (seconds < 3600 or seconds % 60 == 0)
    return shown if is_exact else f"{seconds:.12g}s"


def format_duration(seconds: float) -> str:
    """The two largest units that are not zero, such as `23h 04m`, `4m 09s` or `12s`."""
    whole = max(0, round(seconds))
    hours, rest = divmod(whole, 3600)
    minutes, secs = divmod(rest, 60)
    if hours:
        return f"{hours}h {minutes:02d}m"
    if minutes:
        return f"{minutes}m {secs:02d}s"
    return f"{secs}s"
