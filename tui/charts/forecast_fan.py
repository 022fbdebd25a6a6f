"""The forecast of the validation loss: its expected way to the end of the budget, and the band around it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from tui.charts.axis_map import AxisMap
from tui.drawing.formatting import loss
from tui.drawing.plot import BandPoint

if TYPE_CHECKING:
    from bertd.api.models import RunView, SeriesAxis
    from bertd.records import ForecastRecord


def shown_forecast(run: RunView) -> ForecastRecord | None:
    """The forecast of a run that is not over."""
    return run.forecast if run.end is None else None


def fan(forecast: ForecastRecord, axis_map: AxisMap, axis: SeriesAxis) -> list[tuple[float, BandPoint]]:
    """The expected losses with the band's edges, by rising x.

    The forecast has the band of the last validation only; before it the band widens evenly from nothing.
    """
    points: list[tuple[float, BandPoint]] = []
    ahead = max(1e-9, 1.0 - forecast.progress)
    for share, expected in forecast.curve:
        x = axis_map.find(axis, by="progress", value=share)
        if x is None or not math.isfinite(expected):
            continue
        part = min(1.0, max(0.0, (share - forecast.progress) / ahead))
        low = expected - part * (forecast.loss - forecast.low)
        high = expected + part * (forecast.high - forecast.loss)
        points.append((expected, BandPoint(x, low, high)))
    return points


def forecast_texts(forecast: ForecastRecord) -> tuple[str, str]:
    """The final loss with its band, and without."""
    return f"{loss(forecast.loss)} ({loss(forecast.low)} to {loss(forecast.high)})", loss(forecast.loss)
