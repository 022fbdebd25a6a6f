"""The small charts of a wide screen: speed, learning rate and gradient norm over the budget."""

from __future__ import annotations

from functools import partial

from bertd.records import StepRecord
from tui.lines import Line, Role, heading, line
from tui.look import Draw, Look
from tui.panels.loss import budget_scale, budget_ticks, curve_points
from tui.plot import Curve, Plot
from tui.quantities import rate, short_count, significant
from tui.snapshot import Snapshot
from tui.ticks import linear_scale


def _draw(column: str, title: str, snapshot: Snapshot, look: Look, width: int, height: int) -> list[Line]:
    step = snapshot.run.step if snapshot.run else None
    newest = line((_newest(column, step), Role.STRONG)) if step else Line()
    head = heading(title, newest, width=width, rule=look.glyphs.rule)
    points = curve_points(snapshot.series, column)
    if not points:
        return [head][:height]
    x = budget_scale(points, look)
    plot = Plot(
        curves=[Curve(points, Role.CURVE)],
        x=x,
        y=linear_scale([y for _, y in points], from_zero=True),
        x_label=lambda share: f"{100 * share:.3g} %",
        x_ticks=budget_ticks(x, width),
    )
    return [head, *plot.draw(width=width, height=height - 1, glyphs=look.glyphs)]


def _newest(column: str, step: StepRecord) -> str:
    match column:
        case "lr":
            return rate(step.lr)
        case "grad_norm":
            return significant(step.grad_norm)
        case _:
            return short_count(step.sequences_per_s)


draw_speed: Draw = partial(_draw, "sequences_per_s", "Sequences/s")
draw_rate: Draw = partial(_draw, "lr", "Learning rate")
draw_gradient: Draw = partial(_draw, "grad_norm", "Gradient norm")
