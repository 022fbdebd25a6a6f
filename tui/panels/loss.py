"""Training and validation loss over the budget."""

from __future__ import annotations

import math
from collections.abc import Sequence

from bertd.api.models import RunView, SeriesView
from tui.display_options import DisplayOptions
from tui.drawing.formatting import loss
from tui.drawing.lines import Line, Role, heading, join_lines, line
from tui.drawing.plot import Curve, DrawingCache, Plot
from tui.drawing.ticks import Scale, linear_scale, log_scale
from tui.snapshot import Snapshot

_X_ENDS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
"""Shares of the budget at which the x axis may end."""
_UNSCALED_SHARE = 0.1
"""First part of the visible curve that may exceed the y axis, so that a steep start does not flatten the rest."""

Points = Sequence[tuple[float, float]]


class LossPanel:
    """Draws the loss; redraws the curves only if their points, the size or the options changed."""

    def __init__(self) -> None:
        self._cache = DrawingCache()

    def draw(self, snapshot: Snapshot, options: DisplayOptions, width: int, height: int) -> list[Line]:
        run, series = snapshot.run, snapshot.series
        title = heading("Loss", _legend_line(run, options) if run else Line(), width=width, rule=options.glyphs.rule)
        if snapshot.curves_note:
            return [title, line((snapshot.curves_note, Role.MUTED))][:height]
        rows = height - 1
        return [
            title,
            *self._cache.lines(series, options, width, rows, draw=lambda: _chart(series, options, width, rows)),
        ][:height]


def _chart(series: SeriesView | None, options: DisplayOptions, width: int, height: int) -> list[Line]:
    train, validation = curve_points(series, "loss"), curve_points(series, "validation")
    if not train and not validation:
        return [line(("no step yet", Role.MUTED))]
    x = budget_scale(train or validation, options)
    plot = Plot(
        curves=[
            Curve(train, Role.TRAIN, letter=".", is_light=not options.has_color),
            Curve(validation, Role.VALIDATION, letter="o"),
        ],
        x=x,
        y=_loss_scale(train, validation, options),
        x_label=share_label,
        x_ticks=budget_ticks(x, width),
    )
    return plot.draw(width=width, height=height, glyphs=options.glyphs)


def curve_points(series: SeriesView | None, column: str) -> Points:
    """A curve's points; empty if there is no such curve."""
    return series.columns.get(column, []) if series else []


def budget_scale(points: Points, options: DisplayOptions) -> Scale:
    """The whole budget, or the smallest round share of it that covers the spent part."""
    spent = points[-1][0] if points else 0.0
    return Scale(0.0, 1.0 if options.whole_budget else next((end for end in _X_ENDS if spent <= end), 1.0))


def budget_ticks(x: Scale, width: int) -> list[float]:
    """Round shares of the budget, as many as fit."""
    return x.ticks(max(2, min(10, width // 12)))


def share_label(share: float) -> str:
    """Label of a tick on the budget axis."""
    return f"{100 * share:.3g} %"


def _loss_scale(train: Points, validation: Points, options: DisplayOptions) -> Scale:
    settled = [y for x, y in train if math.isfinite(y) and x >= _UNSCALED_SHARE * train[-1][0]]
    values = [y for _, y in train if math.isfinite(y)]
    if settled and max(values) - min(settled) > 4 * (max(settled) - min(settled)):
        values = settled
    values += [y for _, y in (*train[-1:], *validation[-1:]) if math.isfinite(y)]
    return log_scale(values) if options.log_y else linear_scale(values)


def _legend_line(run: RunView, options: DisplayOptions) -> Line:
    """The legend, with the newest value of each curve."""
    parts: list[Line] = []
    legend = options.glyphs.legend
    if run.step is not None:
        symbol = [(f"{legend} ", Role.TRAIN)] if legend else [(". ", Role.TRAIN)]
        parts.append(line(*symbol, ("train ", Role.MUTED), loss(run.step.loss)))
    if run.validation is not None:
        symbol = [(f"{legend} ", Role.VALIDATION)] if legend else [("o ", Role.VALIDATION)]
        best = run.best_validation
        tail = f" best {loss(best)}" if best is not None and best < run.validation.loss else ""
        parts.append(
            line(*symbol, ("validation ", Role.MUTED), (loss(run.validation.loss), Role.STRONG), (tail, Role.MUTED))
        )
    parts.append(line(("log", Role.MUTED)) if options.log_y else Line())
    return join_lines(parts, separator="   ")
