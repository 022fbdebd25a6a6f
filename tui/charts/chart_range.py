"""The visible ranges of a chart: x is the chosen window or a part of the budget; outliers do not set y."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tui.charts.axis_map import AxisMap
from tui.charts.chart_view import ChartView, Window
from tui.display_options import DisplayOptions
from tui.drawing.ticks import Scale, linear_scale, log_scale

if TYPE_CHECKING:
    from bertd.api.models import SeriesAxis, SeriesView

Points = Sequence[tuple[float, float]]

_X_ENDS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
"""Shares of the axis at which x may end."""
_UNSCALED_SHARE = 0.1
"""First part of the curves that may leave the y axis, so that a steep start does not flatten the rest."""
_STEEP = 2.0
"""A start that would make the y axis longer by this factor is left out of it."""
_OUTLIER_SHARE = 0.02
"""Of the single steps at either end, so many may leave the y axis."""


def x_scale(chart: ChartView, axis: SeriesAxis, axis_map: AxisMap, *, is_whole_budget: bool) -> Scale:
    """The window; without one all up to the end of the budget, or the smallest round share of it that has all steps."""
    if chart.window is not None and axis == chart.axis:
        return Scale(chart.window.low, chart.window.high)
    end, newest = axis_map.end(axis), axis_map.newest(axis)
    share = 1.0 if is_whole_budget else next((share for share in _X_ENDS if newest <= share * end), 1.0)
    return Scale(0.0, share * end)


def shown_window(scale: Scale) -> Window:
    """The visible range of x."""
    return Window(scale.low, scale.high)


def loss_scale(steps: Points, smoothed: Points, others: Sequence[Points], x: Scale, options: DisplayOptions) -> Scale:
    """The y axis of the losses.

    Args:
        others: curves all of whose visible points after the steep start are to be seen.
    """
    settled_from = max(x.low, _UNSCALED_SHARE * steps[-1][0]) if steps else x.low
    settled = _visible(steps, settled_from, x.high)
    trimmed = _trimmed(settled) + _visible(smoothed, settled_from, x.high)
    values = [y for curve in others for y in _visible(curve, settled_from, x.high)]
    values += trimmed if trimmed else _visible(steps, x.low, x.high)
    start = _visible(smoothed or steps, x.low, settled_from)
    whole = [*values, *start]
    if start and values and max(whole) - min(values) <= _STEEP * (max(values) - min(values)):
        values = whole
    return log_scale(values) if options.log_y else linear_scale(values)


def merged(series: SeriesView, zoomed: SeriesView | None) -> SeriesView:
    """The detailed curves of a window between those of the rest."""
    if zoomed is None or zoomed.x != series.x or zoomed.run_id != series.run_id:
        return series
    return series.model_copy(
        update={
            "columns": {
                name: _spliced(points, zoomed.columns.get(name, [])) for name, points in series.columns.items()
            },
            "smoothed": {
                name: _spliced(points, zoomed.smoothed.get(name, [])) for name, points in series.smoothed.items()
            },
        }
    )


def _spliced(points: Points, detailed: Points) -> list[tuple[float, float]]:
    if not detailed:
        return list(points)
    low, high = detailed[0][0], detailed[-1][0]
    return [
        *(pair for pair in points if pair[0] < low),
        *detailed,
        *(pair for pair in points if pair[0] > high),
    ]


def _visible(points: Points, low: float, high: float) -> list[float]:
    return [y for x, y in points if low <= x <= high and math.isfinite(y)]


def _trimmed(values: list[float]) -> list[float]:
    """The smallest and the largest, without outliers."""
    if not values:
        return []
    ordered = sorted(values)
    cut = int(_OUTLIER_SHARE * len(ordered))
    return [ordered[cut], ordered[-1 - cut]]
