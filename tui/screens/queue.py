"""View of the whole queue; keys act on the job under the cursor."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widget import Widget

from bertd.records import JobState
from tui.actions.allowed_actions import Action
from tui.actions.keys import MOVE_KEYS, QUEUE_KEYS
from tui.display_options import DisplayOptions
from tui.drawing.lines import Line, Role
from tui.panels import footer, job, queue, queue_rows
from tui.panels.footer import KeyHint
from tui.queue_tree import Node, build_tree
from tui.screens.acting import ActingScreen
from tui.screens.polling import Request
from tui.snapshot import Feed, Place, Snapshot, find_job
from tui.widgets.job_list import JobList
from tui.widgets.panel import Panel
from tui.widgets.search_bar import SearchBar
from tui.written_view import Table, jobs_table

if TYPE_CHECKING:
    from bertd.api.models import JobView
    from bertd.api.sweep_models import SweepView
    from bertd.records import StartRecord

_KEY_HINTS = (
    KeyHint("enter", "open"),
    KeyHint("hold", "hold", Action.HOLD),
    KeyHint("release", "release", Action.RELEASE),
    KeyHint("raise-priority/lower-priority", "move", Action.PRIORITIZE),
)
"""As shown in the footer."""
_HEADER_AND_FOOTER = 2
"""Lines."""
_MIN_ROWS = 5
"""Lines of the list, with its title, that the details leave free."""


_WAITING = (JobState.QUEUED, JobState.HELD)
_MAX_DETAILED_JOBS = 50
"""Waiting jobs of which is asked what they wait for: each is a request."""


@dataclass(frozen=True)
class _Answer:
    jobs: list[JobView]
    """All; empty if the status has them."""
    sweeps: list[SweepView]
    details: dict[int, JobView]


class QueueScreen(ActingScreen):
    """All jobs with their reasons, and the details of the selected one.

    The status has the live jobs and as many others as fit into it; the rest is requested while this view is shown.
    """

    POLL_INTERVAL_S = 5.0

    BINDINGS: ClassVar[list[BindingType]] = [
        *(Binding(key.keys, f"app.{key.action}", key.title, id=key.id) for key in QUEUE_KEYS),
        *(Binding(key.keys, key.action, key.title, id=key.id) for key in MOVE_KEYS),
    ]

    def __init__(self, feed: Feed) -> None:
        super().__init__(feed)
        self._has_asked = False
        self._all_jobs: list[JobView] = []
        """As of the last request; empty while the status has all."""
        self._sweeps: list[SweepView] = []
        self._details: dict[int, JobView] = {}
        """Of waiting jobs, by number: what they wait for and their position."""
        self._tree: tuple[object, list[Node]] = (None, [])
        self._job_list = JobList(self._draw_tree, self._row_ids, id="all-jobs")
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
        if snapshot.status is not None and not self._has_asked and self.is_current:
            self._has_asked = True
            self.poll()

    def next_request(self) -> Request | None:
        """Sweeps, what waiting jobs wait for, and all jobs, if the status leaves some out."""
        if self._newest is None or self._newest[0].status is None:
            return None
        waiting = [one.id for one in self._newest[0].status.jobs if one.state in _WAITING][:_MAX_DETAILED_JOBS]
        return partial(self._fetch, waiting, has_others=self._leaves_out_jobs)

    def _fetch(self, waiting: list[int], *, has_others: bool) -> _Answer:
        jobs = self.feed.jobs() if has_others else []
        return _Answer(jobs, self.feed.sweeps(), {job_id: self.feed.job(job_id) for job_id in waiting})

    @property
    def _leaves_out_jobs(self) -> bool:
        status = self._newest[0].status if self._newest is not None else None
        return status is not None and status.num_jobs > len(status.jobs)

    def receive(self, answer: object) -> bool:
        """Keep the jobs, the sweeps and the details."""
        assert isinstance(answer, _Answer)
        self._all_jobs = answer.jobs or self._all_jobs
        self._sweeps, self._details = answer.sweeps, answer.details
        self._tree = (None, [])
        return False

    def action_move_job(self, by: int) -> None:
        """Move the selected job before the queued one above it, or after the one below it; the other key undoes it."""
        snapshot = self._newest[0] if self._newest is not None else None
        chosen = find_job(self._with_all_jobs(snapshot), self._job_list.chosen) if snapshot is not None else None
        if self.is_refused() or snapshot is None or chosen is None:
            return
        jobs = self._known_jobs(self._with_all_jobs(snapshot))
        queued = sorted((one for one in jobs if one.state is JobState.QUEUED), key=queue.urgency)
        ids = [one.id for one in queued]
        at = ids.index(chosen.id) + by if chosen.id in ids else -1
        if chosen.id not in ids:
            self.tell(
                f"Job {chosen.id}, {chosen.name}, is {chosen.state}: only a queued job can be moved.", Role.WAITING
            )
        elif not 0 <= at < len(ids):
            self.tell(f"Job {chosen.id}, {chosen.name}, is {'first' if by < 0 else 'last'} already.", Role.WAITING)
        else:
            to: Place = "before" if by < 0 else "after"
            self.send(f"{chosen.name}: move {to} job {ids[at]}", lambda: self._moved(chosen.id, to, ids[at]))

    def _moved(self, job_id: int, to: Place, other: int) -> str:
        job = self.feed.move(job_id, to=to, job=other)
        return f"{job.state}{f', {job.reason}' if job.reason else ''}"

    async def action_clone_job(self) -> None:
        """Queue a job like the selected one; asks first."""
        chosen = self.target_job(self._newest[0]) if self._newest is not None else None
        if self.is_refused() or chosen is None:
            return
        await self.ask(
            f"Clone job {chosen.id}, {chosen.name}?",
            verb="clone",
            consequence="A job with the same settings is put at the end of the queue; it waits for no other job.",
            call=lambda: f"queued as job {self.feed.clone(chosen.id).id}",
        )

    def _known_jobs(self, snapshot: Snapshot) -> list[JobView]:
        """The jobs, with the positions that are known of those that still wait."""
        jobs = snapshot.status.jobs if snapshot.status else []
        positions = {id: one.position for id, one in self._details.items()}
        return [
            one.model_copy(update={"position": positions.get(one.id)}) if one.state is JobState.QUEUED else one
            for one in jobs
        ]

    def _rows_of(self, snapshot: Snapshot) -> list[Node]:
        jobs = snapshot.status.jobs if snapshot.status else []
        if self._tree[0] is not jobs:
            known = self._known_jobs(snapshot)
            self._tree = (jobs, build_tree(known, self._sweeps, self._details, urgency=queue.urgency))
        return self._tree[1]

    def _row_ids(self, snapshot: Snapshot) -> list[int]:
        return [node.id for node in self._rows_of(snapshot)]

    def _draw_tree(self, snapshot: Snapshot, options: DisplayOptions, width: int, height: int) -> list[Line]:
        nodes = self._rows_of(snapshot)
        if not nodes:
            return queue.draw(snapshot, options, width, height)
        title = queue.heading_line(snapshot, options, width)
        return [title, *queue_rows.draw_rows(nodes, snapshot.now, options, width)]

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
        chosen, detail = find_job(snapshot, job_id), self._details.get(job_id or 0)
        if chosen is not None and detail is not None and chosen.state in _WAITING:
            chosen = chosen.model_copy(update={"after": detail.after, "position": detail.position})
        return job.draw(chosen, _find_start_record(snapshot, job_id), snapshot.now, options, width)[:height]


def _find_start_record(snapshot: Snapshot, job_id: int | None) -> StartRecord | None:
    """The start record of the job's run; None for a finetuning."""
    runs = snapshot.status.runs if snapshot.status else []
    return next((run.start for run in runs if run.job_id == job_id), None)


def _set_height(widget: Widget, lines: int) -> None:
    if widget.styles.height is None or widget.styles.height.value != lines or not widget.styles.height.is_cells:
        widget.styles.height = lines
