"""The queued jobs, kept in memory between the ticks of the scheduler: of ten thousand rows few change in between."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from bertd.records import JobState

if TYPE_CHECKING:
    from bertd.jobs.store.queue import Job


class WaitingCache:
    """The queued jobs in their order as they were at the last look: each tick looks, and few rows have changed."""

    def __init__(self) -> None:
        self.stale: set[int] = set()
        """Jobs whose rows may have changed since."""
        self.num_rollbacks = -1
        """Of the database at the last reading of all; -1 before it."""
        self.jobs: list[Job] = []
        self._by_id: dict[int, Job] = {}

    def replace(self, jobs: Iterable[Job], *, num_rollbacks: int) -> None:
        """All of them were read."""
        self._by_id = {job.id: job for job in jobs}
        self.jobs = sorted(self._by_id.values(), key=service_order)
        self.num_rollbacks = num_rollbacks
        self.stale.clear()

    def refresh(self, read: Iterable[Job]) -> None:
        """The rows of the stale jobs were read, of those that still have one."""
        read_by_id = {job.id: job for job in read}
        before = [self._by_id.pop(id, None) for id in self.stale]
        after = [job for job in read_by_id.values() if job.state is JobState.QUEUED]
        self._by_id |= {job.id: job for job in after}
        self.stale.clear()
        if {service_order(job) for job in before if job} == {service_order(job) for job in after}:
            self.jobs = [self._by_id[job.id] for job in self.jobs]
        else:
            self.jobs = sorted(self._by_id.values(), key=service_order)


def service_order(job: Job) -> tuple[int, float, int]:
    """By what queued jobs are served: highest priority, then the place that a person gave them, or their number."""
    return -job.priority, job.id if job.place is None else job.place, job.id
