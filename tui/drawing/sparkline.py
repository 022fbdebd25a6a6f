"""A short history in one line: a bar for each span of time, its height the mean of the values in it.

The spans begin at multiples of their length, not at `now`: so the line stays the same until a span is over, and over
SSH it costs bytes only then.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from tui.drawing.glyphs import Glyphs


def draw_sparkline(
    samples: Iterable[tuple[float, float | None]], *, now: float, span_s: float, width: int, glyphs: Glyphs
) -> str:
    """`width` characters for `span_s` seconds up to `now`; a space where no value is known.

    Args:
        samples: time in seconds, and a value of 0..1, which is clamped; None where it is not known.
    """
    bin_s = span_s / width
    last = math.floor(now / bin_s)
    bins: list[list[float]] = [[] for _ in range(width)]
    for t, value in samples:
        at = math.floor(t / bin_s) - last + width - 1
        if value is not None and math.isfinite(value) and 0 <= at < width:
            bins[at].append(min(1.0, max(0.0, value)))
    steps = len(glyphs.levels) - 1
    return "".join(glyphs.levels[round(steps * sum(values) / len(values))] if values else " " for values in bins)
