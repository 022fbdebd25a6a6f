"""The whole queue: keys act on the job under the cursor."""

from __future__ import annotations

from functools import partial
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from bertd.records import StartRecord
from bertd.wire import JobView
from tui.keys import QUEUE
from tui.lines import Line
from tui.look import Look
from tui.panels import footer, job, queue
from tui.screens.board import Board
from tui.snapshot import Snapshot
from tui.widgets.chooser import Chooser
from tui.widgets.panel import Panel

_KEYS = (("H", "hold"), ("R", "release"), ("u/d", "move"))
"""As the footer names them."""
_LEAST_ROWS = 8
"""Lines that are never the chosen job's: the header, a few rows of the queue, the footer."""


class QueueScreen(Board):
    """All jobs with their reasons, and all about the chosen one."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding(key.keys, f"app.{key.action}", key.title) for key in QUEUE]

    def __init__(self) -> None:
        super().__init__()
        self._chooser = Chooser(queue.draw, _ids, id="all-jobs")
        self._job = Panel(self._draw_job, id="job")
        self._footer = Panel(partial(footer.draw, more=_KEYS), id="footer", is_always_fresh=True)

    def compose(self) -> ComposeResult:
        yield self._header
        yield self._chooser
        yield self._job
        yield self._footer

    def on_mount(self) -> None:
        """The arrow keys move the cursor at once."""
        self._chooser.focus()

    def update(self, snapshot: Snapshot, look: Look) -> None:
        """Show the newest state."""
        super().update(snapshot, look)
        self._fit()

    def on_resize(self) -> None:
        """Share the lines out anew."""
        self._fit()

    @on(Chooser.Moved)
    def show_chosen(self) -> None:
        """All about the job under the cursor."""
        self._fit()
        self._job.redraw()

    @property
    def chosen_job_id(self) -> int | None:
        return self._chooser.chosen

    def _fit(self) -> None:
        """Give the chosen job the lines it takes; a style that stays as it is costs nothing."""
        if self._newest is None:
            return
        width, height = self.app.size
        lines = len(self._draw_job(*self._newest, width, height - _LEAST_ROWS))
        lines = max(lines, job.HEIGHT)
        if self._job.styles.height is None or self._job.styles.height.value != lines:
            self._job.styles.height = lines

    def _draw_job(self, snapshot: Snapshot, look: Look, width: int, height: int) -> list[Line]:
        job_id = self._chooser.chosen
        return job.draw(_job(snapshot, job_id), _start(snapshot, job_id), snapshot.now, look, width)[:height]


def _ids(snapshot: Snapshot) -> list[int]:
    return [one.id for one in queue.by_urgency(snapshot.status.jobs)] if snapshot.status else []


def _job(snapshot: Snapshot, job_id: int | None) -> JobView | None:
    jobs = snapshot.status.jobs if snapshot.status else []
    return next((one for one in jobs if one.id == job_id), None)


def _start(snapshot: Snapshot, job_id: int | None) -> StartRecord | None:
    """How the run of a pretraining computes."""
    runs = snapshot.status.runs if snapshot.status else []
    return next((run.start for run in runs if run.job_id == job_id), None)
