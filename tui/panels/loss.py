"""Training and validation loss, with the events of the run below and a reference beside."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bertd.records import JobState
from tui.charts.axis_labels import x_label, x_ticks
from tui.charts.axis_map import AxisMap
from tui.charts.chart_range import loss_scale, merged, x_scale
from tui.charts.chart_view import AXIS_NAMES
from tui.charts.cursor import cursor_lines
from tui.charts.event_marks import EventMark, event_marks
from tui.charts.forecast_fan import fan, forecast_texts, shown_forecast
from tui.charts.reference import find_lead, lead_text, sampled
from tui.display_options import DisplayOptions
from tui.drawing.formatting import loss
from tui.drawing.lines import Line, Role, Span, heading, join_lines, line
from tui.drawing.plot import Band, Curve, DrawingCache, Mark, Plot
from tui.snapshot import Snapshot

if TYPE_CHECKING:
    from bertd.api.models import EventView, RunView, SeriesView

_MIN_MARK_ROW_HEIGHT = 9
"""A chart with fewer lines has its events in the free cells of the x axis."""
_MIN_NOTE_HEIGHT = 5
_REFERENCE_POINTS = 120


class LossPanel:
    """Draws the loss; redraws the curves only if their points, the size or the options changed."""

    def __init__(self) -> None:
        self._cache = DrawingCache()
        self._marks: tuple[tuple[EventView, ...], AxisMap, list[EventMark]] | None = None
        self._map: tuple[SeriesView | None, RunView, AxisMap] | None = None

    def draw(self, snapshot: Snapshot, options: DisplayOptions, width: int, height: int) -> list[Line]:
        run, series = snapshot.run, snapshot.series
        if run is None:
            return [heading("Loss", Line(), width=width, rule=options.glyphs.rule)]
        axis = series.x if series is not None else options.chart.axis
        name = "Loss" if axis == "progress" else f"Loss by {AXIS_NAMES[axis]}"
        if snapshot.curves_note:
            title = heading(name, _legend(run, options, width), width=width, rule=options.glyphs.rule)
            return [title, line((snapshot.curves_note, Role.MUTED))][:height]
        axis_map = self.axis_map(snapshot)
        marks = self._event_marks(snapshot, run, axis_map)
        right, notes = self._texts(snapshot, run, axis_map, marks, options, width - len(name) - 3)
        title = heading(name, right, width=width, rule=options.glyphs.rule)
        rows = height - 1
        if notes and height >= _MIN_NOTE_HEIGHT:
            rows -= 1
        else:
            notes = []
        forecast = shown_forecast(run)
        data, is_paused = snapshot.charts, run.state is JobState.PAUSED
        minute = int(snapshot.state_t / 60) if is_paused else 0
        chart = self._cache.lines(
            series,
            data.zoomed,
            data.events,
            axis_map,
            options,
            width,
            rows,
            minute,
            forecast.t if forecast is not None else 0.0,
            draw=lambda: _chart(snapshot, run, axis_map, marks, options, width, rows),
        )
        return [title, *notes, *chart][:height]

    def _event_marks(self, snapshot: Snapshot, run: RunView, axis_map: AxisMap) -> list[EventMark]:
        """The marks of the run's events; made again when there is a new one, or the axis is another one."""
        events, series = snapshot.charts.events, snapshot.series
        if series is None or snapshot.charts.run_id != run.id:
            return []
        if self._marks is None or self._marks[0] is not events or self._marks[1] is not axis_map:
            marks = event_marks(events, run_id=run.id, job_id=run.job_id, axis_map=axis_map, axis=series.x)
            self._marks = (events, axis_map, marks)
        return self._marks[2]

    def axis_map(self, snapshot: Snapshot) -> AxisMap:
        """Where things are on the x axis; made again when new curves came or the budget changed."""
        run, series = snapshot.run, snapshot.series
        assert run is not None
        known = self._map
        if known is None or known[0] is not series or known[1].id != run.id or _budget_changed(known[1], run):
            known = self._map = (series, run, AxisMap(run, series, now=snapshot.state_t))
        return known[2]

    def _texts(
        self,
        snapshot: Snapshot,
        run: RunView,
        axis_map: AxisMap,
        marks: Sequence[EventMark],
        options: DisplayOptions,
        width: int,
    ) -> tuple[Line, list[Line]]:
        """What the heading has at its end, and the line below it: the values at the cursor, else the newest ones and
        how far the run is ahead of the reference."""
        chart, series = options.chart, snapshot.series
        if chart.cursor is not None and series is not None and series.x == chart.axis:
            shown = x_scale(chart, series.x, axis_map, is_whole_budget=is_whole_budget(run, options))
            curves = merged(series, snapshot.charts.zoomed)
            reach = (shown.high - shown.low) / max(10, width)
            return cursor_lines(curves, chart.cursor, axis_map, marks, reach=reach, width=width)
        return _legend(run, options, width), _reference_note(run, options)


def _budget_changed(before: RunView, after: RunView) -> bool:
    known = before.budget.remaining_s is None, before.budget.amount, before.end is None
    return known != (after.budget.remaining_s is None, after.budget.amount, after.end is None)


def _chart(
    snapshot: Snapshot,
    run: RunView,
    axis_map: AxisMap,
    marks: Sequence[EventMark],
    options: DisplayOptions,
    width: int,
    height: int,
) -> list[Line]:
    series, chart = snapshot.series, options.chart
    if series is None or not any(series.columns.values()):
        return [line(("no step yet", Role.MUTED))]
    axis = series.x
    curves = merged(series, snapshot.charts.zoomed)
    steps, validation = curves.columns.get("loss", []), curves.columns.get("validation", [])
    smoothed = curves.smoothed.get("loss", [])
    reference = _reference_points(axis_map, series, options)
    x = x_scale(chart, axis, axis_map, is_whole_budget=is_whole_budget(run, options))
    forecast = shown_forecast(run)
    ahead = fan(forecast, axis_map, axis) if forecast is not None else []
    expected = [(at.x, y) for y, at in ahead]
    edges = [(at.x, y) for _, at in ahead for y in (at.low, at.high)]
    paused_until = snapshot.state_t if run.state is JobState.PAUSED else None
    has_row = height >= _MIN_MARK_ROW_HEIGHT and bool(marks)
    plot = Plot(
        curves=[
            Curve(reference, Role.REFERENCE, letter="g", is_light=True),
            Curve(steps, Role.TRAIN, letter=".", is_light=not options.has_color),
            Curve(smoothed, Role.SMOOTHED, letter="~"),
            Curve(validation, Role.VALIDATION, letter="o"),
            Curve(expected, Role.FORECAST, letter="?"),
        ],
        x=x,
        y=loss_scale(steps, smoothed, [validation, reference, edges], x, options),
        x_label=x_label(axis),
        x_ticks=x_ticks(axis, x, width),
        bands=[Band([at for _, at in ahead], Role.FORECAST)],
        marks=[Mark(mark.x, mark.symbol, mark.role, mark.rank) for mark in marks if has_row or mark.rank],
        has_mark_row=has_row,
        shaded=[(pause.low, pause.high) for pause in axis_map.pauses(axis, paused_until=paused_until)],
        cursor=chart.cursor if chart.axis == axis else None,
    )
    return plot.draw(width=width, height=height, glyphs=options.glyphs)


def is_whole_budget(run: RunView, options: DisplayOptions) -> bool:
    """Whether x goes to the end of the budget: at first where there is a forecast, else if the user chose it."""
    return options.whole_budget != (shown_forecast(run) is not None)


def _reference_points(axis_map: AxisMap, series: SeriesView, options: DisplayOptions) -> list[tuple[float, float]]:
    """The reference's losses where this run has, or will have, the same share of its budget."""
    reference = options.chart.reference
    if reference is None:
        return []
    points = sampled(reference, num_points=_REFERENCE_POINTS)
    placed = [(axis_map.find(series.x, by="progress", value=share), y) for share, y in points]
    return [(x, y) for x, y in placed if x is not None]


def _reference_note(run: RunView, options: DisplayOptions) -> list[Line]:
    reference = options.chart.reference
    if reference is None:
        return []
    symbol = (f"{options.glyphs.legend} " if options.glyphs.legend else "g ", Role.REFERENCE)
    lead = find_lead(run, reference)
    if lead is None:
        text, role = f"{reference.name}: no loss at the share of the budget of this run's newest validation", Role.MUTED
    else:
        text, role = lead_text(lead, reference), Role.GOOD if lead.nats >= 0 else Role.WAITING
    source = f"  {reference.source}" if reference.source else ""
    return [line(symbol, (text, role), (source, Role.MUTED))]


def _legend(run: RunView, options: DisplayOptions, width: int) -> Line:
    """The legend with the newest value of each curve, in the longest form that fits."""
    forms = [_legend_line(run, options, form) for form in _FORMS]
    return next((form for form in forms if form.width <= width), forms[-1])


@dataclass(frozen=True)
class _LegendForm:
    """How much the legend says."""

    train: str
    validation: str
    final: str
    has_band: bool = True
    has_best: bool = True
    gap: int = 3


_FORMS = (
    _LegendForm("train ", "validation ", "final "),
    _LegendForm("train ", "validation ", "final ", has_best=False, gap=2),
    _LegendForm("train ", "val ", "final ", has_best=False, gap=2),
    _LegendForm("train ", "val ", "final ", has_best=False, has_band=False, gap=2),
    _LegendForm("", "", "final ", has_best=False, has_band=False, gap=1),
    _LegendForm("", "", "", has_best=False, has_band=False, gap=1),
)


def _legend_line(run: RunView, options: DisplayOptions, form: _LegendForm) -> Line:
    parts: list[Line] = []
    role = Role.SMOOTHED if options.chart.smoothing else Role.TRAIN
    forecast = shown_forecast(run)
    if run.step is not None:
        parts.append(line(_symbol("~" if options.chart.smoothing else ".", role, options), (form.train, Role.MUTED)))
        parts[-1] += line(loss(run.step.loss))
    if run.validation is not None:
        best = run.best_validation
        is_worse = best is not None and math.isfinite(best) and best < run.validation.loss
        tail = f" best {loss(best)}" if best is not None and is_worse and form.has_best else ""
        parts.append(line(_symbol("o", Role.VALIDATION, options), (form.validation, Role.MUTED)))
        parts[-1] += line((loss(run.validation.loss), Role.STRONG), (tail, Role.MUTED))
    if forecast is not None:
        text = forecast_texts(forecast)[0 if form.has_band else 1]
        parts.append(line(_symbol("?", Role.FORECAST, options), (form.final, Role.MUTED), (text, Role.STRONG)))
    parts.append(line(("log", Role.MUTED)) if options.log_y else Line())
    return join_lines(parts, separator=" " * form.gap)


def _symbol(letter: str, role: Role, options: DisplayOptions) -> Span:
    """How a curve is recognized: by its colour, or by its letter in ASCII."""
    return Span(f"{options.glyphs.legend or letter} ", role)
