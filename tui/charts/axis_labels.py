"""Ticks of the x axis and their labels: shares, counts or times."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from tui.drawing.formatting import short_count
from tui.drawing.ticks import Scale

if TYPE_CHECKING:
    from bertd.api.models import SeriesAxis

_TIME_STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400)
_DAY_S = 86_400


def x_ticks(axis: SeriesAxis, scale: Scale, width: int) -> list[float]:
    """Round values, as many as fit into `width` cells."""
    num_ticks = max(2, min(10, width // 12))
    if axis not in ("charged_s", "wall_s"):
        return scale.ticks(num_ticks)
    rough = (scale.high - scale.low) / num_ticks
    step = next((step for step in _TIME_STEPS_S if step >= rough), math.ceil(rough / _DAY_S) * _DAY_S)
    if rough < _TIME_STEPS_S[0]:
        return scale.ticks(num_ticks)
    return [float(step * number) for number in range(math.ceil(scale.low / step), math.floor(scale.high / step) + 1)]


def x_label(axis: SeriesAxis) -> Callable[[float], str]:
    """How a value on the axis is written: `25 %`, `12.5k`, `6h`."""
    match axis:
        case "progress":
            return share_label
        case "charged_s" | "wall_s":
            return time_label
        case _:
            return short_count


def share_label(share: float) -> str:
    """Label of a tick on the budget axis."""
    return f"{100 * share:.4g} %"


def time_label(seconds: float) -> str:
    """`45s`, `30m`, `6h`, `1h30`, `2d`."""
    if seconds == 0 or seconds < 60:
        return f"{seconds:.3g}s"
    whole = round(seconds)
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes}m{rest:02d}" if rest else f"{minutes}m"
    hours, minutes = divmod(minutes, 60)
    if not minutes and hours and hours % 24 == 0:
        return f"{hours // 24}d"
    return f"{hours}h{minutes:02d}" if minutes else f"{hours}h"
