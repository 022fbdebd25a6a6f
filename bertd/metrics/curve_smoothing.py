"""Smooth a curve: an exponentially weighted mean whose weights halve with each `half_life` of x.

At bin i, with means m and numbers of values c: the sum of c_j m_j 2^(-(x_i - x_j) / h) over j <= i, divided by the same
sum without m. Dividing by the weights corrects the bias at the begin, as Adam does. With c the result is that of the
values themselves, up to the width of a bin, however much the curve was thinned. A gap stays a gap and is passed over.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from bertd.metrics.decimated_curve import BinMean

HALF_LIVES_BEFORE = 12.0
"""How far back a value counts: after this many half-lives its weight is 1 / 4096."""


def smooth(means: Iterable[BinMean], *, half_life: float) -> list[tuple[float, float]]:
    """The weighted mean at each bin; NaN at a gap.

    Args:
        half_life: above 0, in the unit of x.
    """
    smoothed: list[tuple[float, float]] = []
    total = weight = 0.0
    previous_x = math.nan
    for each in means:
        if each.count == 0:
            smoothed.append((each.x, math.nan))
            continue
        decay = 1.0 if math.isnan(previous_x) else 2.0 ** (-(each.x - previous_x) / half_life)
        total = total * decay + each.mean * each.count
        weight = weight * decay + each.count
        previous_x = each.x
        smoothed.append((each.x, total / weight))
    return smoothed
