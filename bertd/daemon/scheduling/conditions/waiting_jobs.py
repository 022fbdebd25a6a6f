"""The jobs that wait, without those that may not start yet: because of other jobs, or of the clock. Notes why."""

from __future__ import annotations

from collections.abc import Iterable

from bertd.daemon.scheduling.conditions.dependencies import Dependencies
from bertd.daemon.scheduling.conditions.time_check import reason_to_wait_for_time
from bertd.daemon.scheduling.devices.device_allocation import Decision, FarBehind, Wait
from bertd.jobs.store.database import Database
from bertd.jobs.store.lifecycle import Actor, change_by_broken_dependency, reason_to_wait
from bertd.jobs.store.queue import Job, Queue
from bertd.jobs.store.tables.start_times_table import StartTimesTable
from bertd.records import PROGRAM_KINDS


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

    def set_reasons(self, decisions: Iterable[Decision]) -> None:
        """Note why jobs wait, in one transaction."""
        # Nearly all have it already.
        other: list[tuple[Job, str]] = []
        for each in decisions:
            if isinstance(each, Wait) and each.job.reason != each.reason:
                other.append((each.job, each.reason))
            elif isinstance(each, FarBehind):
                reason = each.reason
                other += [(job, reason) for job in each.jobs if job.reason != reason]
        reasons = [(job.id, reason_to_wait(job.status, reason), job.reason) for job, reason in other]
        if changed := [(id, reason) for id, reason, before in reasons if reason != before]:
            self._queue.set_reasons(changed)

    def _without_unmet(self, waiting: list[Job], *, now: float) -> list[Job]:
        verdicts, times = self._dependencies.verdicts(waiting), self._start_times.of_unended()
        free, waits = list[Job](), list[Wait]()
        if not verdicts and not times:
            return waiting
        for job in waiting:
            verdict = verdicts.get(job.id)
            if verdict is not None and verdict.broken:
                with self._database.transaction():
                    self._dependencies.hold(job.id, verdict)
                    change = change_by_broken_dependency(verdict.broken_reason)
                    self._queue.apply(job.id, change, actor=Actor.SCHEDULER, now=now)
            elif verdict is not None and verdict.waits_for:
                waits.append(Wait(job, verdict.waits_for))
            elif job.id in times and (reason := reason_to_wait_for_time(times[job.id], now=now)):
                if job.kind not in PROGRAM_KINDS or job.started_t is None:
                    # The reason of one that failed says already when it is begun again, and what was wrong.
                    waits.append(Wait(job, reason))
            else:
                free.append(job)
        self.set_reasons(waits)
        return free
