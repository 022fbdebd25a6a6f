"""View of the whole queue; keys act on the job under the cursor."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widget import Widget

from bertd.api.models import JobView
from bertd.records import StartRecord
from tui.actions.allowed_actions import Action
from tui.actions.keys import QUEUE_KEYS
from tui.display_options import DisplayOptions
from tui.drawing.lines import Line
from tui.panels import footer, job, queue
from tui.panels.footer import KeyHint
from tui.screens.polling import PollingScreen, Request
from tui.snapshot import Feed, Snapshot, find_job
from tui.widgets.job_list import JobList
from tui.widgets.panel import Panel
from tui.widgets.search_bar import SearchBar
from tui.written_view import Table, jobs_table

_KEY_HINTS = (
    KeyHint("enter", "open"),
    KeyHint("H", "hold", Action.HOLD),
    KeyHint("R", "release", Action.RELEASE),
    KeyHint("u/d", "move", Action.PRIORITIZE),
)
"""As shown in the footer."""
_HEADER_AND_FOOTER = 2
"""Lines."""
_MIN_ROWS = 5
"""Lines of the list, with its title, that the details leave free."""


class QueueScreen(PollingScreen):
    """All jobs with their reasons, and the details of the selected one.

    The status has the live jobs and as many others as fit into it; the rest is requested while this view is shown.
    """

    POLL_INTERVAL_S = 5.0

    BINDINGS: ClassVar[list[BindingType]] = [Binding(key.keys, f"app.{key.action}", key.title) for key in QUEUE_KEYS]

    def __init__(self, feed: Feed) -> None:
        super().__init__(feed)
        self._has_asked = False
        self._all_jobs: list[JobView] = []
        """As of the last request; empty while the status has all."""
        self._job_list = JobList(queue.draw, _job_ids, id="all-jobs")
        self._job = Panel(self._draw_job, id="job")
        self.search_bar: SearchBar = SearchBar("show only the jobs with this text; esc shows all")

    def compose(self) -> ComposeResult:
        yield self._header
        yield self._job_list
        yield self.search_bar
        yield self._job
        yield self._footer

    def on_mount(self) -> None:
        """Focus the list, so that the arrow keys move the cursor at once."""
        self._job_list.focus()

    def update(self, snapshot: Snapshot, options: DisplayOptions) -> None:
        """Show a snapshot, with the jobs that its status leaves out."""
        super().update(self._with_all_jobs(snapshot), options)
        self._newest = (snapshot, options)
        self._fit_job_panel()
        if self._leaves_out_jobs and not self._has_asked and self.is_current:
            self._has_asked = True
            self.poll()

    def next_request(self) -> Request | None:
        """All jobs, if the status leaves some out."""
        return self.feed.jobs if self._leaves_out_jobs else None

    @property
    def _leaves_out_jobs(self) -> bool:
        status = self._newest[0].status if self._newest is not None else None
        return status is not None and status.num_jobs > len(status.jobs)

    def receive(self, answer: object) -> bool:
        """Keep the jobs."""
        assert isinstance(answer, list)
        self._all_jobs = answer
        return False

    def target_job(self, snapshot: Snapshot) -> JobView | None:
        """The job under the cursor, also one that the status leaves out."""
        return find_job(self._with_all_jobs(snapshot), self._job_list.chosen)

    def _with_all_jobs(self, snapshot: Snapshot) -> Snapshot:
        status = snapshot.status
        if status is None or not self._all_jobs or status.num_jobs <= len(status.jobs):
            return snapshot
        known = {one.id for one in status.jobs}
        jobs = [*status.jobs, *(one for one in self._all_jobs if one.id not in known)]
        return replace(snapshot, status=status.model_copy(update={"jobs": jobs}))

    def on_resize(self) -> None:
        """Divide the lines again."""
        self._fit_job_panel()

    @on(JobList.Moved)
    def show_chosen(self) -> None:
        """Show the details of the job under the cursor."""
        self._fit_job_panel()
        self._job.redraw()
        self._footer.redraw()

    @property
    def chosen_job_id(self) -> int | None:
        return self._job_list.chosen

    def table(self) -> Table:
        """The jobs that the list shows, in its order."""
        status = self._with_all_jobs(self._newest[0]).status if self._newest is not None else None
        jobs = {one.id: one for one in status.jobs} if status is not None else {}
        return jobs_table(jobs[id] for id in self._job_list.shown_ids if id in jobs)

    @property
    def extra_keys(self) -> footer.KeyHints:
        return _KEY_HINTS

    def _fit_job_panel(self) -> None:
        """Put the details after a short list; of a long list keep a few rows in view."""
        if self._newest is None:
            return
        width, height = self.app.size
        available = height - _HEADER_AND_FOOTER
        num_rows = max(1, len(self._job_list.shown_ids)) + 1
        snapshot = self._with_all_jobs(self._newest[0])
        wanted = max(len(self._draw_job(snapshot, self._newest[1], width - 2, height)), job.HEIGHT)
        lines = max(0, min(wanted, available - min(num_rows, _MIN_ROWS)))
        self._job.display = lines > 0
        _set_height(self._job, lines)
        _set_height(self._job_list, num_rows if num_rows + lines < available else max(1, available - lines))

    def _draw_job(self, snapshot: Snapshot, options: DisplayOptions, width: int, height: int) -> list[Line]:
        job_id = self._job_list.chosen
        return job.draw(find_job(snapshot, job_id), _find_start_record(snapshot, job_id), snapshot.now, options, width)[
            :height
        ]


def _job_ids(snapshot: Snapshot) -> list[int]:
    return [one.id for one in queue.sort_by_urgency(snapshot.status.jobs)] if snapshot.status else []


def _find_start_record(snapshot: Snapshot, job_id: int | None) -> StartRecord | None:
    """The start record of the job's run; None for a finetuning."""
    runs = snapshot.status.runs if snapshot.status else []
    return next((run.start for run in runs if run.job_id == job_id), None)


def _set_height(widget: Widget, lines: int) -> None:
    if widget.styles.height is None or widget.styles.height.value != lines or not widget.styles.height.is_cells:
        widget.styles.height = lines
