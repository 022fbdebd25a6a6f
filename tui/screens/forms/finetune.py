"""Dialog that queues a finetuning or a grid of them: of which export, on what, and when."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from textual.app import ComposeResult

from bertd.api.models import JobView, SubmitFinetune, SubmitGrid
from bertd.records import GLUE_TASKS, PauseKind, Preset
from bertd.run.amounts.durations import format_duration
from bertd.run.amounts.quantities import format_count
from bertd.run.grid.finetune_grid import ALL, parse_tasks
from bertd.run.paths import expand_user
from tui.actions.action_costs import CostRow, lend_costs
from tui.screens.forms.form import FieldError, Form, labeled_field
from tui.snapshot import Feed

if TYPE_CHECKING:
    from bertd.api.models import GridEstimateView, RunView

_IN_TURN, _NOW, _NOW_HOT, _AT_END = "in turn", "now", "now hot", "at end"
_WHEN = (_IN_TURN, _NOW, _NOW_HOT, _AT_END)
_ONE = "one"
"""In place of a preset: a single finetuning with the learning rate and the epochs of the form."""


@dataclass(frozen=True)
class _Order:
    """What the fields ask for."""

    submission: SubmitFinetune | SubmitGrid
    arguments: tuple[str, ...]
    """The same for `bertd finetune`, without the run."""
    after: str | None
    """What must be reached before it is submitted: a run, or RUN@0.5."""


class FinetuneForm(Form[JobView]):
    """Shows at each change how many trials it has and, to run now, what the pretraining is charged for that."""

    HINT = "enter: queue it, tab: next field, esc: cancel"

    def __init__(self, run: RunView, feed: Feed, *, clock: Callable[[], float], host: str = "") -> None:
        super().__init__(host=host)
        self._run, self._feed, self._clock = run, feed, clock
        self._has_shown_lend = False
        """Whether a person has seen what the pretraining is charged."""

    @property
    def title_text(self) -> str:
        return f"Finetune {self._run.id}"

    @property
    def notes(self) -> Sequence[str]:
        export = self._run.export
        return [
            f"its newest export is of step {export.step:,}" if export else "it has no export yet: at end, or a share"
        ]

    def fields(self) -> ComposeResult:
        yield from labeled_field("Tasks", "task", "cola", choices=[*GLUE_TASKS, ALL])
        yield from labeled_field("Data folder", "data", placeholder="/data/glue, which holds CoLA/, ...")
        yield from labeled_field(
            "Preset", "preset", _ONE, placeholder=f"{_ONE}, or a grid: {', '.join(Preset)}", choices=[_ONE, *Preset]
        )
        yield from labeled_field("Learning rate", "lr", "5e-5")
        yield from labeled_field("Epochs", "epochs", "3")
        yield from labeled_field(
            "Checkpoint", "export", placeholder="the newest export; or a step, or a share such as 0.5"
        )
        yield from labeled_field(
            "When",
            "when",
            _IN_TURN if self._run.export else _AT_END,
            placeholder=f"{', '.join(_WHEN)}, or a share such as 0.5",
            choices=_WHEN,
        )

    def read(self) -> Callable[[], JobView]:
        order = self._order()
        if order.after is not None:
            run = self._run.id if order.after == self._run.id else order.after
            return partial(self._feed.finetune_later, run, order.arguments, after=order.after)
        if order.submission.now is not None and not self._has_shown_lend:
            self.estimate()
            raise FieldError("when", "That pauses a pretraining: see its cost, and press enter again.")
        return partial(self._feed.submit, order.submission)

    def read_estimate(self) -> Callable[[], Sequence[CostRow]]:
        order, feed = self._order(), self._feed

        def ask() -> list[CostRow]:
            rows = list[CostRow]()
            if isinstance(order.submission, SubmitGrid):
                rows.append(grid_row(feed.estimate_grid(order.submission.model_copy(update={"now": None}))))
            if order.after is not None:
                return [*rows, CostRow("starts", f"a program queues it when {order.after} is reached")]
            if order.submission.now is None:
                return [*rows, CostRow("charged", "nothing: it waits for free devices")]
            rows += lend_costs(feed.estimate_lend(order.submission), now=self._clock())
            self._has_shown_lend = True
            return rows

        return ask

    def _order(self) -> _Order:
        """What the fields ask for.

        Raises:
            FieldError: a field is wrong.
        """
        tasks_text, data, preset = self.value("task"), self.value("data"), self.value("preset") or _ONE
        if not tasks_text:
            raise FieldError("task", f"Enter a task, such as {GLUE_TASKS[0]}.")
        if preset not in (_ONE, *Preset):
            raise FieldError("preset", f"No preset {preset!r}; there are: {_ONE}, {', '.join(Preset)}.")
        is_grid = preset != _ONE
        try:
            tasks = parse_tasks(tasks_text, preset=Preset(preset) if is_grid else Preset.QUICK)
        except ValueError as error:
            raise FieldError("task", f"{error}.") from error
        if not is_grid and len(tasks) > 1:
            raise FieldError("preset", f"Several tasks are a grid: choose {', '.join(Preset)}.")
        if not data:
            raise FieldError("data", "Enter the data folder: the one that holds CoLA/ and the other tasks.")
        data_dir = str(expand_user(data).absolute())
        lr, epochs = self._lr_and_epochs()
        when, now = self._when()
        run = self._source(when)
        if is_grid:
            grid = SubmitGrid(run=run, tasks=tasks, preset=Preset(preset), data_dir=data_dir, now=now)
            return _Order(grid, ("--tasks", ",".join(tasks), "--preset", preset, "--data", data_dir), when)
        one = SubmitFinetune(run=run, task=tasks[0], data_dir=data_dir, lr=lr, epochs=epochs, now=now)
        arguments = ("--task", tasks[0], "--data", data_dir, "--lr", f"{lr:g}", "--epochs", str(epochs))
        return _Order(one, arguments, when)

    def _lr_and_epochs(self) -> tuple[float, int]:
        lr, epochs = _parse_number(self.value("lr")), _parse_number(self.value("epochs"))
        if lr is None or not 0 < lr < 1:
            raise FieldError("lr", "Learning rate: a number between 0 and 1, such as 5e-5.")
        if epochs is None or epochs < 1 or epochs != int(epochs):
            raise FieldError("epochs", "Epochs: a whole number, at least 1.")
        return lr, int(epochs)

    def _when(self) -> tuple[str | None, PauseKind | None]:
        """What must be reached before, and how a pretraining is paused for it.

        Raises:
            FieldError: it is no time.
        """
        text = self.value("when") or _IN_TURN
        match text:
            case "in turn":
                return None, None
            case "now":
                return None, PauseKind.COLD
            case "now hot":
                return None, PauseKind.HOT
            case "at end":
                return self._run.id, None
        share = _parse_number(text)
        if share is None or not 0 < share <= 1:
            raise FieldError("when", f"When: {', '.join(_WHEN)}, or a share of the budget such as 0.5.")
        return f"{self._run.id}@{share:g}", None

    def _source(self, when: str | None) -> str:
        """The export, as the daemon knows it.

        Raises:
            FieldError: there is none yet, or it is named in an unknown way.
        """
        text = self.value("export")
        if when is not None:
            if text:
                raise FieldError("export", "At the end or at a share it is the export of then; leave this empty.")
            return when
        if not text:
            if self._run.export is None:
                raise FieldError("when", f"There is no export yet: choose {_AT_END}, or a share at which there is one.")
            return self._run.id
        number = _parse_number(text.replace(",", ""))
        if number is None or number <= 0 or (number > 1 and number != int(number)):
            raise FieldError("export", f"{text!r} is neither a step, such as 4800, nor a share, such as 0.5.")
        return f"{self._run.id}@{number:g}" if number < 1 else f"{self._run.id}@{int(number)}"


def grid_row(estimate: GridEstimateView) -> CostRow:
    """How many trials, and how long."""
    text = format_count(estimate.num_trials, "trial")
    if estimate.wall_s is None:
        return CostRow("grid", f"{text}; how long is not known until the first of each task is over")
    unmeasured = f", without {', '.join(estimate.unmeasured)}, not measured yet" if estimate.unmeasured else ""
    unit = "GPU" if estimate.device_kind == "gpu" else "core"
    devices = format_count(estimate.num_devices, unit)
    return CostRow("grid", f"{text}, about {format_duration(estimate.wall_s)} on {devices}{unmeasured}")


def _parse_number(text: str) -> float | None:
    """The number, or None if the text is not a finite number."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
