"""Scrollable list of jobs with a cursor; keys act on the job under the cursor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.message import Message

from bertd.api.models import JobView
from tui.display_options import DisplayOptions, DrawFunction
from tui.drawing.lines import Line, Role, Span
from tui.snapshot import Snapshot, find_job
from tui.widgets.scroller import Scroller

_GUTTER = 2


class JobList(Scroller):
    """One line per job; the cursor stays on its job when the order changes."""

    class Moved(Message):
        """The cursor moved to another job."""

    class Opened(Message):
        """Enter was pressed on a job."""

        def __init__(self, run_id: str) -> None:
            super().__init__()
            self.run_id = run_id

    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter", "open", "Open the run", show=False)]

    def __init__(self, draw: DrawFunction, ids: Callable[[Snapshot], list[int]], *, id: str) -> None:
        """`ids` gives the job ids in the order of the lines."""
        super().__init__(draw, id=id)
        self._ids = ids
        self._cursor_row = 0
        self._chosen: int | None = None
        self._unfiltered: tuple[Snapshot, DisplayOptions] | None = None

    def filter(self, text: str) -> None:
        """Show only the jobs with this text in what the list or the detail says of them."""
        self._wanted = text.casefold()
        if self._unfiltered is not None:
            self.update(*self._unfiltered)
        self.post_message(self.Moved())

    @property
    def filter_count(self) -> str:
        """How many jobs are shown, of how many."""
        both = (self._newest, self._unfiltered)
        shown, known = (len(one[0].status.jobs) if one and one[0].status else 0 for one in both)
        return f"{shown} of {known}"

    @property
    def shown_ids(self) -> list[int]:
        """The jobs in the list, in the order of its lines."""
        return self._ids(self._newest[0]) if self._newest is not None else []

    @property
    def chosen(self) -> int | None:
        """The job under the cursor."""
        return self._chosen

    @property
    def drawn_size(self) -> tuple[int, int]:
        """The size without the cursor's column."""
        width, height = super().drawn_size
        return width - _GUTTER, height

    def update(self, snapshot: Snapshot, options: DisplayOptions) -> None:
        """Show a snapshot; if the selected job is gone, select its neighbour."""
        self._unfiltered = (snapshot, options)
        if self._wanted and snapshot.status is not None:
            jobs = [one for one in snapshot.status.jobs if self._wanted in _searched_text(one)]
            snapshot = replace(snapshot, status=snapshot.status.model_copy(update={"jobs": jobs}))
        self._update_cursor(self._ids(snapshot))
        super().update(snapshot, options)

    def compose_lines(self, drawn: list[Line]) -> list[Line]:
        """The visible lines with the cursor; scrolls to keep the cursor visible."""
        self._first = max(min(self._first, self._cursor_row), self._cursor_row - self.rows + 1)
        heading, *lines = self._visible_part(drawn)
        blank, mark = Span(" " * _GUTTER), Span("> ", Role.KEY)
        at = self._cursor_row if self._chosen is not None else -1
        marked = [
            Line((mark if number == at else blank, *line.spans)) for number, line in enumerate(lines, self._first)
        ]
        return [heading.fit(self.size.width - _GUTTER), *marked]

    def action_move(self, by: int) -> None:
        """Move the cursor by `by` lines."""
        if self._newest is None:
            return
        self._cursor_row, self._chosen = self._cursor_row + by, None
        self._update_cursor(self._ids(self._newest[0]))
        self.redraw()
        self.post_message(self.Moved())

    def action_open(self) -> None:
        """Show the run of the job under the cursor."""
        job = find_job(self._newest[0], self._chosen) if self._newest is not None else None
        if job is not None:
            self.post_message(self.Opened(job.run_id))

    def _update_cursor(self, ids: list[int]) -> None:
        if self._chosen in ids:
            self._cursor_row = ids.index(self._chosen)
        self._cursor_row = max(0, min(self._cursor_row, len(ids) - 1))
        self._chosen = ids[self._cursor_row] if ids else None


def _searched_text(job: JobView) -> str:
    return f"#{job.id} {job.state} {job.kind} {job.name} {job.run_id} {job.reason}".casefold()
