"""Draw runs side by side: a row each, their curves over each other, and what differs between their recipes."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from bertd.run.amounts.durations import format_duration
from tui.charts.axis_labels import share_label
from tui.comparison import AXIS_TEXTS, MAX_COMPARED, Comparison, find_repetitions, loss_error
from tui.display_options import DisplayOptions
from tui.drawing.formatting import loss, percent, short_count
from tui.drawing.glyphs import ASCII, state_role
from tui.drawing.lines import Line, Role, Span, cell, heading, line, wrap_words
from tui.drawing.plot import Curve, Plot
from tui.drawing.ticks import Scale, linear_scale, log_scale
from tui.recipe_keys import find_differences

if TYPE_CHECKING:
    from bertd.api.models import RunView, SeriesAxis

_ROLES = (
    Role.CURVE,
    Role.VALIDATION,
    Role.GOOD,
    Role.BAD,
    Role.TEXT,
    Role.TRAIN,
    Role.MUTED,
    Role.FAINT,
)
"""Of the curves, in the order of their letters."""
_UNSCALED_SHARE = 0.1
"""First part of a curve that may exceed the y axis."""
_KEY_CELLS = 26


def draw_runs(comparison: Comparison | None, options: DisplayOptions, width: int, *, note: str) -> list[Line]:
    """A heading and a row for each run; a letter marks those that are compared."""
    count = f"{len(comparison.marked)} of at most {MAX_COMPARED} compared" if comparison is not None else ""
    title = heading("Runs", line((count, Role.MUTED)), width=width, rule=options.glyphs.rule)
    if comparison is None or not comparison.runs:
        return [title, line((note if comparison is None else "no runs", Role.MUTED))]
    return [title, *(_run_row(run, comparison, options, width) for run in comparison.runs)]


def draw_chart(
    comparison: Comparison | None, options: DisplayOptions, width: int, height: int, *, column: str, problem: str
) -> list[Line]:
    """The curves of the compared runs over each other; letters where there are no colours."""
    name = "Validation loss" if column == "validation" else "Training loss"
    axis = f"by {AXIS_TEXTS[comparison.axis]}" if comparison is not None else ""
    scale_text = ", logarithmic" if options.log_y else ""
    right = line((problem, Role.BAD)) if problem else line((f"{axis}{scale_text}", Role.MUTED))
    title = heading(name, right.cut(max(0, width - len(name) - 3)), width=width, rule=options.glyphs.rule)
    if comparison is None:
        return [title]
    curves = [
        (comparison.letter(run_id), series.columns.get(column, []))
        for run_id in comparison.marked
        if (series := comparison.series.get(run_id)) is not None
    ]
    drawn = [(letter, points) for letter, points in curves if any(math.isfinite(y) for _, y in points)]
    if not drawn:
        return [title, line(("no points yet; m marks a run", Role.MUTED))]
    x = _x_scale(comparison.axis, [points for _, points in drawn])
    plot = Plot(
        curves=[Curve(points, _role(letter), letter=letter) for letter, points in drawn],
        x=x,
        y=_y_scale([points for _, points in drawn], options),
        x_label=_x_label(comparison.axis),
        x_ticks=x.ticks(max(2, min(10, width // 14))),
    )
    glyphs = options.glyphs if options.has_color else ASCII
    return [title, *plot.draw(width=width, height=height - 1, glyphs=glyphs)]


def draw_differences(comparison: Comparison | None, options: DisplayOptions, width: int) -> list[Line]:
    """Repetitions and their spread, then a row for each key that is not the same in all recipes."""
    recipes = comparison.recipes if comparison is not None else {}
    runs = [run for run in (comparison.compared if comparison is not None else []) if run.id in recipes]
    if comparison is None or len(runs) < 2:
        title = heading("Recipes", Line(), width=width, rule=options.glyphs.rule)
        return [title, line(("two runs have recipes to compare; m marks one", Role.MUTED))]
    differences = find_differences(tuple(recipes[run.id] for run in runs))
    count = f"{len(differences)} keys differ" if len(differences) != 1 else "1 key differs"
    title = heading("Recipes", line((count, Role.MUTED)), width=width, rule=options.glyphs.rule)
    cells = max(8, (width - _KEY_CELLS) // len(runs) - 1)
    letters = [comparison.letter(run.id) for run in runs]
    head = line(cell("", _KEY_CELLS), *(Span(f"{cell(letter, cells).text} ", _role(letter)) for letter in letters))
    rows = [
        line(cell(key, _KEY_CELLS, Role.MUTED), *(Span(f"{cell(value, cells).text} ") for value in values))
        for key, values in differences
    ]
    return [title, *_repetition_lines(comparison, width), *([head, *rows] if rows else [])]


def _repetition_lines(comparison: Comparison, width: int) -> list[Line]:
    texts = [
        f"{', '.join(each.letters)} repeat each other: mean {loss(statistics.fmean(each.losses))}, "
        f"from {loss(each.losses[0])} to {loss(each.losses[-1])}"
        for each in find_repetitions(comparison)
    ]
    return [line((row, Role.STRONG)) for text in texts for row in wrap_words(text, width)]


def _run_row(run: RunView, comparison: Comparison, options: DisplayOptions, width: int) -> Line:
    letter = comparison.letter(run.id)
    role = _role(letter) if letter else Role.MUTED
    name_cells = min(32, max(18, width - 42))
    return Line(
        (
            cell(letter or options.glyphs.dash, 2, role),
            cell(run.id, name_cells, role),
            Span(f" {options.glyphs.states[run.state]} ", state_role(run.state)),
            cell(run.state, 9, state_role(run.state)),
            cell(percent(run.budget.progress, decimals=0), 6, right=True),
            Span("  "),
            *_loss_spans(run, comparison, options),
        )
    ).fit(width)


def _loss_spans(run: RunView, comparison: Comparison, options: DisplayOptions) -> list[Span]:
    """The newest validation loss, its error where it is known, its step."""
    if run.validation is None:
        return [Span("no validation yet", Role.MUTED)]
    error = loss_error(comparison.series.get(run.id))
    sign = " +- " if not options.glyphs.is_braille else " ± "
    spans = [Span(loss(run.validation.loss), Role.STRONG)]
    spans.append(Span(f"{sign}{error:.3f}" if error is not None else "", Role.MUTED))
    best = run.best_validation
    if best is not None and best < run.validation.loss:
        spans.append(Span(f"  best {loss(best)}", Role.MUTED))
    spans.append(Span(f"  step {run.validation.step:,}", Role.MUTED))
    return spans


def _role(letter: str) -> Role:
    return _ROLES[(ord(letter) - ord("a")) % len(_ROLES)]


def _x_scale(axis: SeriesAxis, curves: Sequence[Sequence[tuple[float, float]]]) -> Scale:
    last = max(points[-1][0] for points in curves if points)
    return Scale(0.0, 1.0) if axis == "progress" else linear_scale([0.0, last])


def _y_scale(curves: Sequence[Sequence[tuple[float, float]]], options: DisplayOptions) -> Scale:
    values = [
        y
        for points in curves
        for x, y in points
        if math.isfinite(y) and points and x >= _UNSCALED_SHARE * points[-1][0]
    ] or [y for points in curves for _, y in points if math.isfinite(y)]
    return log_scale(values) if options.log_y else linear_scale(values)


def _x_label(axis: SeriesAxis) -> Callable[[float], str]:
    match axis:
        case "progress":
            return share_label
        case "charged_s" | "wall_s":
            return lambda seconds: format_duration(seconds) if seconds else "0"
        case _:
            return short_count
