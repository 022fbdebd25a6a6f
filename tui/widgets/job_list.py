"""List of jobs with a cursor; keys act on the job under the cursor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from textual.message import Message

from tui.display_options import DisplayOptions, DrawFunction
from tui.snapshot import Snapshot, find_job
from tui.widgets.cursor_list import CursorList

if TYPE_CHECKING:
    from bertd.api.models import JobView


class JobList(CursorList[int]):
    """One line per job; a filter leaves out jobs, so that keys act only on what is shown."""

    class Opened(Message):
        """Enter was pressed on a job."""

        def __init__(self, run_id: str) -> None:
            super().__init__()
            self.run_id = run_id

    def __init__(self, draw: DrawFunction, ids: Callable[[Snapshot], list[int]], *, id: str) -> None:
        super().__init__(draw, ids, id=id)
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

    def update(self, snapshot: Snapshot, options: DisplayOptions) -> None:
        """Show the jobs of a snapshot that the filter leaves."""
        self._unfiltered = (snapshot, options)
        if self._wanted and snapshot.status is not None:
            jobs = [one for one in snapshot.status.jobs if self._wanted in _searched_text(one)]
            snapshot = replace(snapshot, status=snapshot.status.model_copy(update={"jobs": jobs}))
        super().update(snapshot, options)

    def action_open(self) -> None:
        """Show the run of the job under the cursor."""
        job = find_job(self._newest[0], self._chosen) if self._newest is not None else None
        if job is not None:
            self.post_message(self.Opened(job.run_id))


def _searched_text(job: JobView) -> str:
    return f"#{job.id} {job.state} {job.kind} {job.name} {job.run_id} {job.reason}".casefold()
