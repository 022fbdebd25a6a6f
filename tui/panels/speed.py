"""Figures of a run: speed, optimizer, checkpoint and execution."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bertd.records import JobState
from bertd.run.amounts.durations import format_duration
from bertd.run.amounts.quantities import format_bytes
from tui.charts.rates import median_speed
from tui.charts.schedule_ahead import ahead_text
from tui.display_options import DisplayOptions
from tui.drawing.formatting import format_learning_rate, percent, short_count, significant
from tui.drawing.lines import Line, Role, Span, cell, heading, line
from tui.snapshot import Snapshot

if TYPE_CHECKING:
    from bertd.api.models import RunView
    from bertd.records import StepRecord

_COLUMN_WIDTH = 25
"""Cells of one label with its figure."""
_LABEL_WIDTH = 14
_MIN_TWO_COLUMN_WIDTH = 44
"""From this width, there are two columns even if they are narrow."""

DATA_WAIT_WARNING_SHARE = 0.05
"""Share of time waiting for data from which it is highlighted; a healthy run has a tenth of it."""
_SLOW_SHARE = 0.9
"""Of the run's median speed; a slower step is highlighted."""
_TRAINING_STATES = (JobState.RUNNING, JobState.PAUSING, JobState.STOPPING)
"""States in which the last measured speed is current."""


@dataclass(frozen=True)
class Figure:
    """One label with its value."""

    label: str
    value: str
    role: Role = Role.STRONG
    note: str = ""


def draw(snapshot: Snapshot, options: DisplayOptions, width: int, height: int) -> list[Line]:
    run = snapshot.run
    if run is None:
        return []
    title = [heading("Speed", Line(), width=width, rule=options.glyphs.rule)] if height > 3 else []
    columns = max(2 if width >= _MIN_TWO_COLUMN_WIDTH else 1, width // _COLUMN_WIDTH)
    rows = height - len(title)
    shown = figures(snapshot, run, options)[: rows * columns]
    available_width = width // columns
    lines = []
    for row in range(0, len(shown), columns):
        spans: list[Span] = []
        for figure in shown[row : row + columns]:
            spans.extend(_cells(figure, available_width))
        lines.append(Line(tuple(spans)).fit(width))
    return [*title, *lines]


def _cells(figure: Figure, available_width: int) -> tuple[Span, ...]:
    text, space = line((figure.value, figure.role)), available_width - _LABEL_WIDTH - 1
    if figure.note and text.width + 1 + len(figure.note) <= space:
        text += line((f" {figure.note}", Role.MUTED))
    return (cell(figure.label, _LABEL_WIDTH, Role.MUTED), *text.fit(space).spans, Span(" "))


def figures(snapshot: Snapshot, run: RunView, options: DisplayOptions) -> list[Figure]:
    """All figures, the most important first."""
    step, dash = run.step, options.glyphs.dash
    return [
        *_speed_figures(step if run.state in _TRAINING_STATES else None, median_speed(snapshot.series), dash),
        *_optimizer_figures(step, dash),
        _checkpoint_figure(run, snapshot.now),
        *_comparing_figures(snapshot, run),
        *_extra_figures(run),
    ]


def _optimizer_figures(step: StepRecord | None, dash: str) -> list[Figure]:
    """Optimizer figures; valid for a paused run too."""
    if step is None:
        return [Figure(label, dash, Role.MUTED) for label in ("learning rate", "grad norm")]
    norm_role = Role.STRONG if math.isfinite(step.grad_norm) else Role.BAD
    return [
        Figure("learning rate", format_learning_rate(step.lr)),
        Figure("grad norm", significant(step.grad_norm), norm_role),
    ]


def _speed_figures(step: StepRecord | None, usual: float | None, dash: str) -> list[Figure]:
    """Speed figures; valid only while training."""
    if step is None:
        return [Figure(label, dash, Role.MUTED) for label in ("sequences/s", "tokens/s", "data wait")]
    wait_role = Role.BAD if step.data_wait > DATA_WAIT_WARNING_SHARE else Role.STRONG
    is_slow = usual is not None and step.sequences_per_s < _SLOW_SHARE * usual
    return [
        Figure("sequences/s", short_count(step.sequences_per_s), Role.BAD if is_slow else Role.STRONG),
        Figure("tokens/s", short_count(step.tokens_per_s)),
        Figure("data wait", percent(step.data_wait), wait_role),
    ]


def _comparing_figures(snapshot: Snapshot, run: RunView) -> list[Figure]:
    """The speed beside the run's median, the use of the device's peak, and what the learning rate does next."""
    found: list[Figure] = []
    step, usual, recipe = run.step, median_speed(snapshot.series), snapshot.charts.recipe
    if step is None:
        return found
    if usual and run.state in _TRAINING_STATES:
        found.append(Figure("of median", f"{100 * step.sequences_per_s / usual:.0f} %"))
    if step.mfu is not None:
        found.append(Figure("MFU", percent(step.mfu)))
    if recipe is not None and run.end is None:
        found.append(Figure("lr schedule", ahead_text(recipe, step)))
    return found


def _checkpoint_figure(run: RunView, now: float) -> Figure:
    saved = run.checkpoint
    if saved is None:
        return Figure("checkpoint", "none yet", Role.MUTED)
    return Figure("checkpoint", format_duration(now - saved.t), note="ago")


def _extra_figures(run: RunView) -> list[Figure]:
    found: list[Figure] = []
    step, start = run.step, run.start
    if run.restarts:
        found.append(Figure("restarts", f"{run.restarts}", Role.WAITING, note=f"{run.steps_lost} steps lost"))
    if start is not None:
        found.append(Figure("kernels", start.kernels, note=start.precision))
        found.append(Figure("ranks x micro", f"{start.world_size} x {start.micro_batch}"))
    if step is not None and step.memory_bytes is not None:
        found.append(Figure("rank memory", format_bytes(step.memory_bytes, is_short=True)))
    if step is not None and step.loss_scale is not None:
        found.append(Figure("loss scale", short_count(step.loss_scale), note=f"{step.skipped_steps} skipped"))
    return found
