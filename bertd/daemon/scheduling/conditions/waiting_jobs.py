"""The jobs that wait, without those that may not start yet: because of other jobs, or of the clock. Notes why."""

from __future__ import annotations

from bertd.daemon.scheduling.conditions.dependencies import Dependencies
from bertd.daemon.scheduling.conditions.time_check import reason_to_wait_for_time
from bertd.jobs.store.database import Database
from bertd.jobs.store.lifecycle import Actor, change_by_broken_dependency, reason_to_wait
from bertd.jobs.store.queue import Job, Queue
from bertd.jobs.store.tables.start_times_table import StartTimesTable
from bertd.records import JobKind


class WaitingJobs:
    """Finds the jobs that may have devices, and notes of the others why they wait."""

    def __init__(self, database: Database, queue: Queue, *, dependencies: Dependencies) -> None:
        self._database = database
        self._queue = queue
        self._dependencies = dependencies
        self._start_times = StartTimesTable(database)

    def may_start(self, waiting: list[Job], *, now: float) -> list[Job]:
        """Of the queued jobs those that may start; the others note why not, and those that never can are held."""
        return self._without_unmet(waiting, now=now) if waiting else []

    def set_reason(self, job: Job, reason: str) -> None:
        """Note why a job waits."""
        reason = reason_to_wait(job.status, reason)
        if job.reason != reason:
            self._queue.update(job.id, reason=reason)

    def _without_unmet(self, waiting: list[Job], *, now: float) -> list[Job]:
        verdicts, times = self._dependencies.verdicts(waiting), self._start_times.of_unended()
        free = []
        for job in waiting:
            verdict = verdicts.get(job.id)
            if verdict is not None and verdict.broken:
                with self._database.transaction():
                    self._dependencies.hold(job.id, verdict)
                    change = change_by_broken_dependency(verdict.broken_reason)
                    self._queue.apply(job.id, change, actor=Actor.SCHEDULER, now=now)
            elif verdict is not None and verdict.waits_for:
                self.set_reason(job, verdict.waits_for)
            elif job.id in times and (reason := reason_to_wait_for_time(times[job.id], now=now)):
                if job.kind is not JobKind.COMMAND or job.started_t is None:
                    # The reason of one that failed says already when it is begun again, and what was wrong.
                    self.set_reason(job, reason)
            else:
                free.append(job)
        return free
