"""When the jobs that wait are expected to start and end, and how often that was wrong.

Made anew when the queue or the leases have changed, else every few seconds. The first expectation that a job had is
compared with its start, so that what people were told is what is judged.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from bertd.daemon.scheduling.conditions.dependencies import Dependencies
from bertd.daemon.scheduling.conditions.group_limits import GroupLimits, member_of
from bertd.daemon.scheduling.conditions.time_check import earliest_start
from bertd.daemon.scheduling.devices.device_allocation import Inventory
from bertd.daemon.scheduling.expectations.backfill import Backfill, find_device_outlook
from bertd.daemon.scheduling.expectations.expected_durations import ExpectedDurations
from bertd.daemon.scheduling.expectations.forecast import ExpectedTimes, GroupOutlook, WaitingJob, is_wrong
from bertd.daemon.scheduling.expectations.overtaking import forecast_with_overtaking
from bertd.jobs.store.leases import Leases
from bertd.jobs.store.queue import Job, Queue
from bertd.jobs.store.tables.start_times_table import StartTimesTable
from bertd.records import DependencyCondition, JobState, StartTimes

_REFRESH_S = 5.0
_AT_ONCE_S = 1.0
"""After its first expectation; a job that starts so soon did not wait."""
_FEW_JOBS = 100
_PAUSE_PER_JOB_S = 1e-4
"""A forecast of 10,000 jobs takes a tenth of a second, and is made at most once in a second."""
_MAX_BACKFILL = 200
"""Jobs at the head of the queue of which one may overtake others."""
_UNKNOWN_JOB = 0
"""No job has this number: what waits for it has no expected start."""


@dataclass
class StartAccuracy:
    """How many expected starts came, and how many were wrong by more than a quarter of the wait."""

    num_checked: int = 0
    num_wrong: int = 0
    _first: dict[int, tuple[float, float]] = field(default_factory=dict)
    """By job: when it was first expected to start, and when that was said."""

    def note_expected(self, expected: dict[int, ExpectedTimes], *, now: float) -> None:
        """Keep the first expectation of each job; forget jobs that do not wait any more."""
        for id in self._first.keys() - expected.keys():
            del self._first[id]
        for id in expected.keys() - self._first.keys():
            if (start_t := expected[id].start_t) is not None:
                self._first[id] = now, start_t

    def note_start(self, job_id: int, *, now: float) -> None:
        """A job starts; one that did not wait was promised nothing."""
        first = self._first.pop(job_id, None)
        if first is not None and now - first[0] >= _AT_ONCE_S:
            made_t, expected_t = first
            self.num_checked += 1
            self.num_wrong += is_wrong(made_t=made_t, expected_t=expected_t, actual_t=now)


class Outlook:
    """Makes and keeps the newest forecast."""

    def __init__(
        self,
        queue: Queue,
        *,
        leases: Callable[[], Leases],
        durations: ExpectedDurations,
        dependencies: Dependencies,
        start_times: StartTimesTable,
        inventory: Inventory,
        groups: Callable[[], Mapping[str, GroupLimits]] = dict,
        clock: Callable[[], float],
    ) -> None:
        """`leases` has what is lent as that of the run that lends it."""
        self._queue = queue
        self._leases = leases
        self._durations = durations
        self._dependencies = dependencies
        self._start_times = start_times
        self._inventory = inventory
        self._groups = groups
        self._clock = clock
        self._made_t = 0.0
        self._made_of: object = None
        self._expected: dict[int, ExpectedTimes] = {}
        """Of each queued job."""
        self._simple_jobs: dict[int, tuple[Job, WaitingJob]] = {}
        """What a forecast needs of jobs that never ran and wait for no other job and no time; it does not change."""
        self.accuracy = StartAccuracy()

    def update(self, waiting: list[Job], *, drained: Collection[str], now: float) -> None:
        """Make the forecast of the queued jobs anew, if something has changed or it is old."""
        age_s = abs(now - self._made_t)
        if len(waiting) > _FEW_JOBS and age_s < _PAUSE_PER_JOB_S * len(waiting):
            return
        leases = self._leases()
        made_of = (waiting, leases, tuple(drained), dict(self._groups()))
        if made_of == self._made_of and age_s < _REFRESH_S:
            return
        self._durations.begin_round()
        self._expected = self._forecast(waiting, leases, drained=drained, now=now) if waiting else {}
        self.accuracy.note_expected(self._expected, now=now)
        self._made_t, self._made_of = now, made_of if self._durations.is_complete else None

    def times_of(self, job: Job) -> ExpectedTimes:
        """When a job is expected to start, if it is queued, and to end, if it is queued or has devices."""
        if job.state is JobState.QUEUED:
            return self._expected.get(job.id, ExpectedTimes())
        if not job.has_runner:
            return ExpectedTimes()
        has_hours = self._start_times.of_job(job.id).only is not None
        return ExpectedTimes(end_t=None if has_hours else self._durations.end_t(job, now=self._clock()))

    def backfill(self, waiting: list[Job], *, drained: Collection[str], now: float) -> Backfill:
        """What an allocation to these jobs, which may all start now, needs to let one overtake."""
        times = self._start_times.of_unended()
        live = self._queue.live()
        ends = {job.id: self._end_t(job, times, now=now) for job in live}
        return Backfill(
            now=now,
            ends=ends,
            groups=self._group_outlook(live, ends),
            waiting={job.id: self._waiting_job(job, times.get(job.id), (), now=now) for job in waiting[:_MAX_BACKFILL]},
            inventory=self._inventory,
            drained=drained,
        )

    def _forecast(
        self, waiting: list[Job], leases: Leases, *, drained: Collection[str], now: float
    ) -> dict[int, ExpectedTimes]:
        times = self._start_times.of_unended()
        needs = self._dependencies.unmet(waiting)
        live = self._queue.live()
        ends = {job.id: self._end_t(job, times, now=now) for job in live}
        kinds = ("cpu", "gpu")
        counts = {kind: self._inventory.count(kind) for kind in kinds}
        # What this machine can never start holds nobody up.
        jobs = [
            self._waiting_job(job, times.get(job.id), needs.get(job.id, ()), now=now)
            for job in waiting
            if job.num_devices <= counts[job.device_kind]
        ]
        if len(self._simple_jobs) > 2 * len(waiting) + _FEW_JOBS:
            self._simple_jobs.clear()
        devices = {
            kind: find_device_outlook(kind, leases, inventory=self._inventory, drained=drained, ends=ends)
            for kind in kinds
        }
        groups = self._group_outlook(live, ends)
        return forecast_with_overtaking(jobs, devices, now=now, ends=ends, groups=groups)

    def _group_outlook(self, live: list[Job], ends: dict[int, float | None]) -> GroupOutlook:
        members = tuple((ends[job.id], member_of(job)) for job in live if job.group_name)
        return GroupOutlook(self._groups(), members)

    def _end_t(self, job: Job, times: dict[int, StartTimes], *, now: float) -> float | None:
        if job.id in times and times[job.id].only is not None:
            return None
        end_t = self._durations.end_t(job, now=now)
        # One that takes longer than expected ends nobody knows when.
        return None if end_t is None or end_t <= now else end_t

    def _waiting_job(
        self,
        job: Job,
        times: StartTimes | None,
        needs: Sequence[tuple[int, DependencyCondition]],
        *,
        now: float,
    ) -> WaitingJob:
        """What the forecast needs of a job."""
        is_simple = times is None and not needs and job.started_t is None
        kept = self._simple_jobs.get(job.id) if is_simple else None
        if kept is not None and kept[0] is job:
            return kept[1]
        has_hours = times is not None and times.only is not None
        duration_s = None if has_hours else self._durations.duration_s(job)
        made = WaitingJob(
            id=job.id,
            num_devices=job.num_devices,
            duration_s=duration_s,
            not_before_t=0.0 if times is None else earliest_start(times, now=now),
            after=tuple(_UNKNOWN_JOB if condition is DependencyCondition.MARKER else id for id, condition in needs),
            device_kind=job.device_kind,
            group=job.group_name,
            owner_uid=job.owner_uid,
        )
        if is_simple and self._durations.is_complete:
            self._simple_jobs[job.id] = job, made
        return made
