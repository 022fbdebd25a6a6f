"""Keep the views of jobs that are over, since a list has a thousand of them and they hardly change."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

from bertd.jobs.store.lifecycle import ENDED
from bertd.jobs.store.queue import Job
from bertd.metrics.journal_summary import JournalSummary

_MAX_VIEWS = 2_000
_V = TypeVar("_V")


class EndedViews(Generic[_V]):
    """The newest view of each job that is over, valid while its row and its summary are the same."""

    def __init__(self) -> None:
        self._views: OrderedDict[int, tuple[Job, JournalSummary, _V]] = OrderedDict()

    def get(self, job: Job, summary: JournalSummary, *, build: Callable[[], _V]) -> _V:
        """The kept view, else what `build` returns; of a job that is not over always the latter."""
        if job.state not in ENDED:
            return build()
        if job.id in self._views:
            kept_job, kept_summary, view = self._views[job.id]
            if kept_job == job and kept_summary is summary:
                return view
        view = build()
        self._views[job.id] = job, summary, view
        while len(self._views) > _MAX_VIEWS:
            self._views.popitem(last=False)
        return view
