"""Small charts for wide screens: one curve over the budget, with its newest value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tui.charts.axis_labels import x_label, x_ticks
from tui.charts.axis_map import AxisMap
from tui.charts.chart_range import x_scale
from tui.charts.rates import median_speed
from tui.charts.schedule_ahead import learning_rate_ahead
from tui.display_options import DisplayOptions
from tui.drawing.formatting import format_learning_rate, short_count, significant
from tui.drawing.lines import Line, Role, heading, line
from tui.drawing.plot import Curve, DrawingCache, Plot
from tui.drawing.ticks import linear_scale
from tui.panels.loss import is_whole_budget
from tui.snapshot import Snapshot

if TYPE_CHECKING:
    from bertd.records import StepRecord


@dataclass
class CurvePanel:
    """Draws one column of the series."""

    title: str
    column: str
    format_newest: Callable[[StepRecord], str]
    """Formats the figure beside the title."""
    ahead: Callable[[Snapshot, AxisMap], list[tuple[float, float]]] | None = None
    """A second curve: what is expected."""
    _cache: DrawingCache = field(default_factory=DrawingCache)

    def draw(self, snapshot: Snapshot, options: DisplayOptions, width: int, height: int) -> list[Line]:
        step = snapshot.run.step if snapshot.run else None
        figure = line((self.format_newest(step), Role.STRONG)) if step else Line()
        head = heading(self.title, figure, width=width, rule=options.glyphs.rule)
        series, rows = snapshot.series, height - 1
        recipe = snapshot.charts.recipe
        body = self._cache.lines(
            series, recipe, options, width, rows, draw=lambda: self._chart(snapshot, options, width, rows)
        )
        return [head, *body][:height]

    def _chart(self, snapshot: Snapshot, options: DisplayOptions, width: int, height: int) -> list[Line]:
        run, series = snapshot.run, snapshot.series
        points = series.columns.get(self.column, []) if series is not None else []
        if run is None or series is None or not points:
            return []
        axis_map = AxisMap(run, series, now=snapshot.state_t)
        ahead = self.ahead(snapshot, axis_map) if self.ahead is not None else []
        x = x_scale(
            options.chart,
            series.x,
            axis_map,
            is_whole_budget=is_whole_budget(run, options),
        )
        plot = Plot(
            curves=[Curve(ahead, Role.FORECAST, letter="?", is_light=not options.has_color), Curve(points, Role.CURVE)],
            x=x,
            y=linear_scale([y for _, y in (*points, *ahead)], from_zero=True),
            x_label=x_label(series.x),
            x_ticks=x_ticks(series.x, x, width),
            cursor=options.chart.cursor if options.chart.axis == series.x else None,
        )
        return plot.draw(width=width, height=height, glyphs=options.glyphs)


def speed_curve() -> CurvePanel:
    return CurvePanel("Sequences/s", "sequences_per_s", lambda step: short_count(step.sequences_per_s), _median_line)


def rate_curve() -> CurvePanel:
    return CurvePanel("Learning rate", "lr", lambda step: format_learning_rate(step.lr), _rate_ahead)


def gradient_curve() -> CurvePanel:
    return CurvePanel("Gradient norm", "grad_norm", lambda step: significant(step.grad_norm))


def _median_line(snapshot: Snapshot, axis_map: AxisMap) -> list[tuple[float, float]]:
    """The median speed over the whole axis, to see what is slower."""
    series, usual = snapshot.series, median_speed(snapshot.series)
    return [] if usual is None or series is None else [(0.0, usual), (axis_map.end(series.x), usual)]


def _rate_ahead(snapshot: Snapshot, axis_map: AxisMap) -> list[tuple[float, float]]:
    """The learning rate by the schedule, from the newest step to the end."""
    run, series, recipe = snapshot.run, snapshot.series, snapshot.charts.recipe
    if run is None or run.step is None or series is None or recipe is None or run.end is not None:
        return []
    pairs = learning_rate_ahead(recipe, run.step, is_changed=run.budget_change is not None)
    placed = [(axis_map.find(series.x, by="progress", value=share), rate) for share, rate in pairs]
    return [(x, rate) for x, rate in placed if x is not None]
