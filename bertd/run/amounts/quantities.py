"""Format amounts with their unit for display: bytes, and the units of a budget."""

from __future__ import annotations

import re
from collections.abc import Callable

from bertd.records import BudgetUnit
from bertd.run.amounts.durations import format_duration

_BYTE_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
_GIB_POWER = 3
_BYTES = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)\s*([KMGT])(i?)B", re.IGNORECASE | re.ASCII)


def format_bytes(num_bytes: float, *, is_short: bool = False) -> str:
    """`512 B`, `58.0 MiB`, `3.9 GiB`; short, `58 MiB`: decimals from GiB on."""
    power = min(len(_BYTE_UNITS) - 1, max(0, int(num_bytes).bit_length() - 1) // 10)
    has_decimals = power >= (_GIB_POWER if is_short else 1)
    return f"{num_bytes / 1024**power:.{1 if has_decimals else 0}f} {_BYTE_UNITS[power]}"


def parse_bytes(text: str) -> int:
    """`10GiB`, `24 GB`, `512MiB` or `1.5TiB` as bytes.

    Raises:
        ValueError: it is not an amount above 0 with a unit.
    """
    match = _BYTES.fullmatch(text.strip())
    if match is None or not float(match[1]):
        raise ValueError(f"{text!r:.40} is not an amount of bytes; give one such as 10GiB or 24GB")
    factor = (1024.0 if match[3] else 1000.0) ** ("KMGT".index(match[2].upper()) + 1)
    return round(float(match[1]) * factor)


def format_count(number: int, noun: str, plural: str | None = None) -> str:
    """`1 document`, `2,345 documents`, `2 entries`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def format_share(share: float) -> str:
    """`99.6%`: with one decimal everywhere, and 100.0% only if it is all of it."""
    return f"{100 * share if share >= 1 else min(100 * share, 99.9):.1f}%"


def format_budget_amount(
    unit: BudgetUnit, amount: float, *, format_amount: Callable[[float], str] | None = None
) -> str:
    """`24h 00m`, `192 GPU-hours`, `23,000 steps`.

    Args:
        format_amount: for GPU-hours and sequences, which may be large numbers; by default all digits are shown.
    """
    format_amount = format_amount or _all_digits
    match unit:
        case BudgetUnit.HOURS:
            return format_duration(amount * 3600)
        case BudgetUnit.GPU_HOURS:
            return f"{format_amount(amount)} {'GPU-hour' if amount == 1 else 'GPU-hours'}"
        case BudgetUnit.STEPS:
            return format_count(round(amount), "step")
        case BudgetUnit.SEQUENCES:
            return f"{format_amount(amount)} {'sequence' if amount == 1 else 'sequences'}"


def format_budget_change(unit: BudgetUnit, before: float, after: float) -> str:
    """`from 20m 00s to 2h 00m`."""
    return f"from {format_budget_amount(unit, before)} to {format_budget_amount(unit, after)}"


def _all_digits(amount: float) -> str:
    return f"{amount:,.0f}" if amount == round(amount) else f"{amount:,.6g}"
