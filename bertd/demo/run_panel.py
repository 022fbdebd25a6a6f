"""Live display of a run: budget, loss curve and speed, as a panel or as one line."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterable

from rich.console import RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from bertd.api.models import JobView, RunView
from bertd.records import StepRecord
from bertd.run.amounts.durations import format_duration
from bertd.terminal_text import terminal_line

_BLOCKS = "▁▂▃▄▅▆▇█"
_ASCII_BLOCKS = "_.-=+*#@"
_CURVE_CELLS = 60
_PLAIN_INTERVAL_S = 10.0


class LossCurve:
    """Collects losses and draws them as a row of block characters."""

    def __init__(self) -> None:
        self._losses: deque[float] = deque(maxlen=10_000)
        self._last_step = -1

    def add(self, step: StepRecord | None) -> None:
        """Add the step's loss, unless the step was already added."""
        if step is not None and step.step > self._last_step and math.isfinite(step.loss):
            self._last_step = step.step
            self._losses.append(step.loss)

    def draw(self, *, cells: int = _CURVE_CELLS, is_ascii: bool = False) -> str:
        """The whole curve in at most `cells` characters."""
        return sparkline(_downsample(list(self._losses), cells=cells), blocks=_ASCII_BLOCKS if is_ascii else _BLOCKS)


def sparkline(values: Iterable[float], *, blocks: str) -> str:
    """One block per value; the smallest value gets the lowest block."""
    numbers = list(values)
    if not numbers:
        return ""
    low, high = min(numbers), max(numbers)
    scale = (len(blocks) - 1) / (high - low) if high > low else 0.0
    return "".join(blocks[round((value - low) * scale)] for value in numbers)


def _downsample(values: list[float], *, cells: int) -> list[float]:
    """At most `cells` values, each the mean of neighbouring values."""
    if len(values) <= cells:
        return values
    edges = [round(index * len(values) / cells) for index in range(cells + 1)]
    return [sum(values[a:b]) / (b - a) for a, b in zip(edges, edges[1:], strict=False)]


def render_panel(run: RunView, curve: LossCurve, *, is_ascii: bool) -> RenderableType:
    """The panel for a terminal."""
    grid = Table.grid(padding=(0, 2), expand=True)
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(ratio=1)
    budget = run.budget
    left = "starting" if run.start is None else f"{format_duration(budget.remaining_s or 0)} left"
    grid.add_row("budget", ProgressBar(total=1.0, completed=budget.progress, width=_CURVE_CELLS))
    grid.add_row("", Text(f"{left}, {budget.progress:.0%} spent", "bold"))
    if step := run.step:
        grid.add_row("loss", Text(curve.draw(is_ascii=is_ascii), "green"))
        grid.add_row("", Text(f"{step.loss:.3f} nats at step {step.step:,}, learning rate {step.lr:.2e}"))
        speed = f"{step.sequences_per_s:,.0f} sequences/s, {step.tokens_per_s:,.0f} tokens/s"
        grid.add_row("speed", Text(speed, "bold"))
    if validation := run.validation:
        grid.add_row(
            "validation", Text(f"{validation.loss:.3f} nats; a guess by word frequency: {validation.unigram_loss:.3f}")
        )
    if alert := run.alert:
        grid.add_row("alert", Text(terminal_line(alert.message), "yellow"))
    title = f"{terminal_line(run.id)}: {terminal_line(run.model)}, {run.state}"
    return Panel(grid, title=Text(title), border_style="cyan", padding=(0, 1))


def format_run_line(run: RunView) -> str:
    """The run's state in one line, for logs."""
    parts = [f"{run.budget.progress:4.0%}", f"{format_duration(run.budget.remaining_s or 0)} left"]
    if step := run.step:
        parts += [f"step {step.step:,}", f"loss {step.loss:.3f}", f"{step.sequences_per_s:,.0f} sequences/s"]
    if run.validation:
        parts.append(f"validation {run.validation.loss:.3f}")
    return "  ".join(parts)


class PlainProgress:
    """Prints progress lines at intervals, if the output is not a terminal."""

    def __init__(self, display: Callable[[str], None]) -> None:
        self._display = display
        self._next_s = 0.0

    def run(self, run: RunView) -> None:
        """Print the pretraining's state if a line is due."""
        if run.step is not None and self._is_due():
            self._display(format_run_line(run))

    def job(self, job: JobView) -> None:
        """Print the finetuning's progress if a line is due."""
        if job.progress and self._is_due():
            self._display(f"{job.progress:4.0%} finetuned")

    def _is_due(self) -> bool:
        now = time.monotonic()
        if now < self._next_s:
            return False
        self._next_s = now + _PLAIN_INTERVAL_S
        return True
