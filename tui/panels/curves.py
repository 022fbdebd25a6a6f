"""The small charts of a wide screen: one curve over the budget, with its newest value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from bertd.records import StepRecord
from bertd.wire import SeriesView
from tui.lines import Line, Role, heading, line
from tui.look import Look
from tui.panels.loss import budget_scale, budget_ticks, curve_points, share_label
from tui.plot import Curve, Kept, Plot
from tui.quantities import rate, short_count, significant
from tui.snapshot import Snapshot
from tui.ticks import linear_scale


@dataclass
class CurvePanel:
    """Draws one column of the series."""

    title: str
    column: str
    newest: Callable[[StepRecord], str]
    """The figure beside the title."""
    _kept: Kept = field(default_factory=Kept)

    def draw(self, snapshot: Snapshot, look: Look, width: int, height: int) -> list[Line]:
        step = snapshot.run.step if snapshot.run else None
        figure = line((self.newest(step), Role.STRONG)) if step else Line()
        head = heading(self.title, figure, width=width, rule=look.glyphs.rule)
        series, rows = snapshot.series, height - 1
        body = self._kept.lines(series, look, width, rows, draw=lambda: self._chart(series, look, width, rows))
        return [head, *body][:height]

    def _chart(self, series: SeriesView | None, look: Look, width: int, height: int) -> list[Line]:
        points = curve_points(series, self.column)
        if not points:
            return []
        x = budget_scale(points, look)
        plot = Plot(
            curves=[Curve(points, Role.CURVE)],
            x=x,
            y=linear_scale([y for _, y in points], from_zero=True),
            x_label=share_label,
            x_ticks=budget_ticks(x, width),
        )
        return plot.draw(width=width, height=height, glyphs=look.glyphs)


def speed_curve() -> CurvePanel:
    return CurvePanel("Sequences/s", "sequences_per_s", lambda step: short_count(step.sequences_per_s))


def rate_curve() -> CurvePanel:
    return CurvePanel("Learning rate", "lr", lambda step: rate(step.lr))


def gradient_curve() -> CurvePanel:
    return CurvePanel("Gradient norm", "grad_norm", lambda step: significant(step.grad_norm))
