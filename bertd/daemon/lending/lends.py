"""Lends: once in each round of the scheduler, move each as its run and its jobs have moved.

All that is known of a lend is in the database, so that a daemon that begins goes on where the last one was: it decides
from the states of the run and the jobs alone, see lend_decisions.py.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Protocol

from bertd.daemon.lending.lend_decisions import Borrower, LendStep, decide
from bertd.daemon.lending.lend_texts import describe_end, describe_paused, name_jobs
from bertd.daemon.lending.lent_devices import can_start, find_lend
from bertd.daemon.metrics.run_metrics import RunMetrics
from bertd.daemon.scheduling.conditions.time_check import reason_to_wait_for_time
from bertd.daemon.scheduling.devices.device_allocation import Inventory
from bertd.errors import BertdError
from bertd.jobs.runner.run_job import job_lock
from bertd.jobs.store.database import Database
from bertd.jobs.store.event_log import EventLog
from bertd.jobs.store.lifecycle import ENDED, JobChange, change_at_recall, change_at_return
from bertd.jobs.store.queue import Job, Queue
from bertd.jobs.store.tables.lend_table import Lend, LendTable
from bertd.jobs.store.tables.start_times_table import StartTimesTable
from bertd.metrics.journal_summary import JournalSummary
from bertd.records import BorrowerState, JobState, LendRecord, LendState
from bertd.run.journal import append_records
from bertd.run.paths import RunPaths

logger = logging.getLogger(__name__)

_STEPS_OF_A_START = 2
"""After which a run trains again, where its ranks do not report their start."""


class SaveJob(Protocol):
    """Makes a change of a job, and sends its command."""

    def __call__(self, job: Job, change: JobChange, /, *, asked_by: str, now: float) -> None: ...


class Lends:
    """Every lend that is not over."""

    def __init__(
        self,
        *,
        database: Database,
        queue: Queue,
        events: EventLog,
        run_metrics: RunMetrics,
        inventory: Inventory,
        drained: Callable[[], Collection[str]],
        save: SaveJob,
        catch_up: Callable[[Job], None],
        end_t: Callable[[Job, float], float | None],
        waits_for_others: Callable[[Job], bool],
    ) -> None:
        """Read the lends that an earlier daemon left.

        Args:
            save: makes a change of a job.
            catch_up: reads what this module wrote into the journal of a run without a runner.
            end_t: when a job with devices ends; None where it is not known.
            waits_for_others: whether a queued job may not start yet because of other jobs.
        """
        self._database = database
        self._queue = queue
        self._events = events
        self._run_metrics = run_metrics
        self._inventory = inventory
        self._drained = drained
        self._save = save
        self._catch_up = catch_up
        self._end_t = end_t
        self._waits_for_others = waits_for_others
        self._start_times = StartTimesTable(database)
        self._logged: dict[int, str] = {}
        """By lend: the error that was logged last."""
        self._return_t: dict[int, float | None] = {}
        self.table = LendTable(database)
        self.open: list[Lend] = self.table.open()

    def read(self) -> None:
        """Take what a request has changed."""
        self.open = self.table.open()

    def find(self, job_id: int) -> Lend | None:
        """The lend of which a job is the run, or that it borrows of."""
        return find_lend(job_id, self.open)

    def append_event(self, lend_id: int, run: Job, text: str, *, now: float, **data: object) -> None:
        """Add an event, within the caller's transaction."""
        line = f"{run.run_id}: lend {lend_id}: {text}"
        self._events.append("lending", line, now=now, job_id=run.id, run_id=run.run_id, data={"lend": lend_id, **data})

    def finish(self, lend: Lend, *, now: float) -> None:
        """End the lend of a run that trains again, before its first step is seen."""
        run, step = self._queue.get(lend.run_job_id), LendStep(LendState.OVER, "the run is lent again")
        with self._database.transaction():
            self._move(lend, run, self._run_metrics.summary(run), step, now=now)
        self.read()

    def return_t(self, lend: Lend) -> float | None:
        """When its jobs are expected to be over; None where one of them has no known end."""
        return self._return_t.get(lend.id)

    def advance(self, now: float) -> None:
        """Move each lend. One that cannot be moved is tried again in the next round."""
        self.open = self.table.open()
        for lend in self.open:
            try:
                self._advance(lend, now)
                self._logged.pop(lend.id, None)
            except BertdError as error:
                if self._logged.get(lend.id) != str(error):
                    logger.error("lend %d: %s", lend.id, error)
                self._logged[lend.id] = str(error)
        if self.open:
            self.open = self.table.open()

    def _advance(self, lend: Lend, now: float) -> None:
        run, drained = self._queue.get(lend.run_job_id), self._drained()
        self._note_those_that_left(lend)
        jobs = {borrower.job_id: self._queue.get(borrower.job_id) for borrower in lend.borrowers}
        summary, times = self._run_metrics.summary(run), self._start_times.of_job(run.id)
        step = decide(
            lend.state,
            run.status,
            [
                Borrower(job.id, job.status, can_start=self._can_start(job, lend, drained=drained, now=now))
                for job in jobs.values()
            ],
            may_run=not reason_to_wait_for_time(times, now=now),
            has_trained=_has_trained(lend, summary),
        )
        if step.state is LendState.RETURNING is not lend.state and not run.has_runner:
            self._write_record(lend, run, summary, step, now=now)
        with self._database.transaction():
            self._release(lend, step, jobs, now=now)
            if step.resumes_run:
                self._resume(lend, run, now=now)
            if step.state is not lend.state:
                self._move(lend, run, summary, step, now=now)
        self._return_t[lend.id] = self._find_return_t(jobs.values(), lend, now=now)
        self._set_reason(lend, step, jobs, now=now)

    def _can_start(self, job: Job, lend: Lend, *, drained: Collection[str], now: float) -> bool:
        """Whether a job of the lend has what it needs; a person may have it wait for something meanwhile."""
        has_devices = can_start(job, lend, self._inventory, drained=drained)
        waits = job.group_name or reason_to_wait_for_time(self._start_times.of_job(job.id), now=now)
        return has_devices and not waits and not self._waits_for_others(job)

    def _note_those_that_left(self, lend: Lend) -> None:
        leases = self._queue.leases()
        for job in lend.jobs:
            if job.state is BorrowerState.LEAVING and not leases.devices_of(job.job_id):
                with self._database.transaction():
                    self.table.set_job_state(lend.id, job.job_id, BorrowerState.LEFT)

    def _release(self, lend: Lend, step: LendStep, jobs: dict[int, Job], *, now: float) -> None:
        """Have jobs leave the lend; those that a person recalls the devices from save first."""
        leases = self._queue.leases()
        for id in sorted(step.leaving):
            reason = f"saves, since lend {lend.id} was ended; continues when there are devices"
            if step.recalls and (change := change_at_recall(jobs[id].status, reason)) is not None:
                self._save(jobs[id], change, asked_by=f"lend {lend.id}", now=now)
            is_holding = bool(leases.devices_of(id)) and jobs[id].state not in ENDED
            self.table.set_job_state(lend.id, id, BorrowerState.LEAVING if is_holding else BorrowerState.LEFT)

    def _resume(self, lend: Lend, run: Job, *, now: float) -> None:
        reason = f"lend {lend.id} is over; continues"
        if (change := change_at_return(run.status, reason)) is not None:
            self._save(run, change, asked_by=f"lend {lend.id}, which is over", now=now)

    def _move(self, lend: Lend, run: Job, summary: JournalSummary, step: LendStep, *, now: float) -> None:
        self.table.set_state(lend.id, step.state, reason=step.reason)
        if step.state is LendState.LENT:
            self.table.set_times(lend.id, lent_t=now)
            text = f"{name_jobs(lend.borrowers)} may have its devices"
        elif step.state is LendState.RETURNING:
            self.table.set_times(lend.id, returned_t=now, save_s=_save_s(lend, summary))
            text = step.reason
        else:
            start_s = _start_s(lend, summary)
            self.table.set_times(lend.id, ended_t=now, start_s=start_s)
            text = describe_end(lend, start_s=start_s, reason=step.reason, now=now)
        data: dict[str, object] = {"state": step.state, "reason": step.reason}
        if step.state is LendState.OVER:
            data |= {"save_s": lend.save_s, "start_s": start_s, "wall_s": now - lend.created_t, "is_hot": lend.is_hot}
        self.append_event(lend.id, run, text, now=now, **data)

    def _write_record(self, lend: Lend, run: Job, summary: JournalSummary, step: LendStep, *, now: float) -> None:
        """Write into the run's journal what the lend was: before it continues, while nobody else writes there."""
        paths = RunPaths(Path(run.folder))
        if not paths.root.is_dir():
            # The start of the run says so.
            return
        record = LendRecord(
            t=now,
            step=summary.progress.step,
            lend=lend.id,
            jobs=[job.job_id for job in lend.jobs],
            asked_by=lend.asked_by,
            began_t=lend.created_t,
            wall_s=max(0.0, now - lend.created_t),
            save_s=_save_s(lend, summary),
            detail=step.reason,
        )
        with job_lock(paths):
            append_records(paths.journal, [record])
        self._catch_up(run)

    def _find_return_t(self, jobs: Collection[Job], lend: Lend, *, now: float) -> float | None:
        expected_s = {borrower.job_id: borrower.expected_s for borrower in lend.borrowers}
        ends = []
        for job in jobs:
            if job.state in ENDED:
                continue
            end_t = self._end_t(job, now)
            seconds = expected_s[job.id]
            if end_t is None and seconds is not None:
                end_t = (now if job.started_t is None else job.started_t) + seconds
            if end_t is None or end_t <= now:
                # One that takes longer than expected ends nobody knows when.
                return None
            ends.append(end_t)
        return max(ends, default=None)

    def _set_reason(self, lend: Lend, step: LendStep, jobs: dict[int, Job], *, now: float) -> None:
        """Have the paused run say for whom it waits, and until when."""
        run = self._queue.get(lend.run_job_id)
        staying = [job for job in jobs.values() if job.id not in step.leaving]
        if step.state is not LendState.LENT or run.state is not JobState.PAUSED or not staying:
            return
        reason = describe_paused(run, staying, hot=run.is_hot, return_t=self._return_t[lend.id], now=now)
        if run.reason != reason:
            self._queue.update(run.id, reason=reason)


def _has_trained(lend: Lend, summary: JournalSummary) -> bool:
    if lend.is_hot:
        return True
    since_t = lend.returned_t
    if since_t is None:
        return False
    if summary.startup is not None and summary.startup.t >= since_t:
        return True
    start, step = summary.start, summary.step
    is_new = start is not None and step is not None and start.t >= since_t
    return is_new and start is not None and summary.progress.step >= start.step + _STEPS_OF_A_START


def _save_s(lend: Lend, summary: JournalSummary) -> float | None:
    newest = summary.checkpoint
    is_of_pause = newest is not None and newest.why == "pause" and newest.t >= lend.created_t
    return newest.seconds if newest is not None and is_of_pause else None


def _start_s(lend: Lend, summary: JournalSummary) -> float | None:
    newest = summary.startup
    is_new = newest is not None and lend.returned_t is not None and newest.t >= lend.returned_t
    return newest.total_s if newest is not None and is_new else None
