"""Format numbers for the screen: short, aligned, with their unit."""

from __future__ import annotations

import math
from datetime import datetime
from typing import TYPE_CHECKING

from bertd.run.amounts.quantities import format_budget_amount

if TYPE_CHECKING:
    from bertd.records import BudgetUnit

_GIB = float(1 << 30)


def count(number: float) -> str:
    """`23,842`."""
    return f"{number:,.0f}"


def short_count(number: float) -> str:
    """Three significant digits and a prefix: `812`, `52.8k`, `40.7M`, `1.36G`."""
    if not math.isfinite(number):
        return str(number)
    for bound, unit in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(number) >= bound:
            scaled = number / (1e3 if unit == "k" else bound)
            return f"{scaled:.{1 if scaled >= 10 else 2}f}{unit}"
    if abs(number) >= 100 or number == int(number):
        return f"{number:,.0f}"
    return f"{number:.1f}"


def percent(share: float, *, decimals: int = 1) -> str:
    """`41.7 %`; a share below 1 never shows as 100 %."""
    shown = 100 * share
    if share < 1:
        shown = min(shown, 100 - 10**-decimals)
    return f"{shown:.{decimals}f} %"


def loss(value: float) -> str:
    """Nats with three decimals: two runs differ in these."""
    return f"{value:.3f}"


def format_learning_rate(lr: float) -> str:
    """`1.23e-3`, or `0`."""
    if lr == 0:
        return "0"
    mantissa, exponent = f"{lr:.2e}".split("e")
    return f"{mantissa}e{int(exponent)}"


def significant(value: float) -> str:
    """Three significant digits: `0.83`, `12.4`, `1.2e+5`."""
    return f"{value:.3g}"


def gibibytes(num_bytes: float, *, decimals: int = 1) -> str:
    """`64.2`, in GiB, as nvidia-smi counts."""
    return f"{num_bytes / _GIB:.{decimals}f}"


def clock(t: float) -> str:
    """Local time of day."""
    return f"{datetime.fromtimestamp(t):%H:%M:%S}"


def clock_near(t: float, *, now: float) -> str:
    """Local time of day; seconds only within an hour of `now`, weekday or date only if it is another day."""
    try:
        then, today = datetime.fromtimestamp(t), datetime.fromtimestamp(now)
    except (ValueError, OverflowError):
        return "far in the future"
    time_of_day = f"{then:%H:%M:%S}" if abs(t - now) < 3600 else f"{then:%H:%M}"
    days = (then.date() - today.date()).days
    if days == 0:
        return time_of_day
    return f"{then:%a} {time_of_day}" if abs(days) < 7 else f"{then:%Y-%m-%d} {time_of_day}"


def format_amount(unit: BudgetUnit, amount: float) -> str:
    """A budget's amount: `24h 00m`, `192 GPU-hours`, `23,000 steps`."""
    return format_budget_amount(unit, amount, format_amount=short_count)
