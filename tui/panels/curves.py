"""Small charts for wide screens: one curve over the budget, with its newest value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from bertd.api.models import SeriesView
from bertd.records import StepRecord
from tui.display_options import DisplayOptions
from tui.drawing.formatting import format_learning_rate, short_count, significant
from tui.drawing.lines import Line, Role, heading, line
from tui.drawing.plot import Curve, DrawingCache, Plot
from tui.drawing.ticks import linear_scale
from tui.panels.loss import budget_scale, budget_ticks, curve_points, share_label
from tui.snapshot import Snapshot


@dataclass
class CurvePanel:
    """Draws one column of the series."""

    title: str
    column: str
    format_newest: Callable[[StepRecord], str]
    """Formats the figure beside the title."""
    _cache: DrawingCache = field(default_factory=DrawingCache)

    def draw(self, snapshot: Snapshot, options: DisplayOptions, width: int, height: int) -> list[Line]:
        step = snapshot.run.step if snapshot.run else None
        figure = line((self.format_newest(step), Role.STRONG)) if step else Line()
        head = heading(self.title, figure, width=width, rule=options.glyphs.rule)
        series, rows = snapshot.series, height - 1
        body = self._cache.lines(series, options, width, rows, draw=lambda: self._chart(series, options, width, rows))
        return [head, *body][:height]

    def _chart(self, series: SeriesView | None, options: DisplayOptions, width: int, height: int) -> list[Line]:
        points = curve_points(series, self.column)
        if not points:
            return []
        x = budget_scale(points, options)
        plot = Plot(
            curves=[Curve(points, Role.CURVE)],
            x=x,
            y=linear_scale([y for _, y in points], from_zero=True),
            x_label=share_label,
            x_ticks=budget_ticks(x, width),
        )
        return plot.draw(width=width, height=height, glyphs=options.glyphs)


def speed_curve() -> CurvePanel:
    return CurvePanel("Sequences/s", "sequences_per_s", lambda step: short_count(step.sequences_per_s))


def rate_curve() -> CurvePanel:
    return CurvePanel("Learning rate", "lr", lambda step: format_learning_rate(step.lr))


def gradient_curve() -> CurvePanel:
    return CurvePanel("Gradient norm", "grad_norm", lambda step: significant(step.grad_norm))
