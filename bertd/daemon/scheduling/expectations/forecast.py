"""When the jobs that wait will start and end, by what is known of those that run. Pure.

Simulates the queue of one kind of device: jobs start strictly in order, and none overtakes. A device whose job has no
known end stays taken, so what needs it has no expected start: better none than a wrong one.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Release:
    """Devices that are free again at a time."""

    t: float | None
    """Seconds since the epoch; None where it is not known."""
    num_devices: int


@dataclass(frozen=True)
class WaitingJob:
    """What a forecast needs to know of a job that waits."""

    id: int
    num_devices: int
    duration_s: float | None
    """From its start to its end; None where it is not known."""
    not_before_t: float = 0.0
    """Begin time, or the beginning of its hours."""
    after: tuple[int, ...] = ()
    """Jobs that must have ended."""


@dataclass(frozen=True)
class ExpectedTimes:
    """Seconds since the epoch; None where it is not known."""

    start_t: float | None = None
    end_t: float | None = None


def forecast(
    waiting: Sequence[WaitingJob],
    releases: Iterable[Release],
    *,
    num_free: int,
    now: float,
    ends: dict[int, float | None] | None = None,
) -> dict[int, ExpectedTimes]:
    """When each waiting job starts and ends.

    Args:
        waiting: in the order they are served.
        releases: of the devices that are taken.
        num_free: devices that are free now.
        ends: of jobs that run, for those that wait for them; one that is not here has no known end.
    """
    simulation = _Simulation(waiting, releases, num_free=num_free, now=now, ends=ends or {})
    simulation.run()
    return simulation.expected


class _Simulation:
    def __init__(
        self,
        waiting: Sequence[WaitingJob],
        releases: Iterable[Release],
        *,
        num_free: int,
        now: float,
        ends: dict[int, float | None],
    ) -> None:
        self._num_free = num_free
        self._now = now
        self._releases = [(release.t, release.num_devices) for release in releases if release.t is not None]
        heapq.heapify(self._releases)
        self._ready: list[tuple[int, WaitingJob]] = []
        """A heap by the place in the order; no two places are equal."""
        self._later: list[tuple[float, int, WaitingJob]] = []
        self._by_dependency: dict[int, list[int]] = {}
        self._unmet: dict[int, set[int]] = {}
        self._order = {job.id: place for place, job in enumerate(waiting)}
        self._jobs = {job.id: job for job in waiting}
        self._ready_t: dict[int, float] = {}
        self.expected = {job.id: ExpectedTimes() for job in waiting}
        for job in waiting:
            self._add(job, ends)

    def _add(self, job: WaitingJob, ends: dict[int, float | None]) -> None:
        ready_t, unmet = max(self._now, job.not_before_t), set[int]()
        for id in job.after:
            if id in self._jobs:
                unmet.add(id)
                self._by_dependency.setdefault(id, []).append(job.id)
            elif (end_t := ends.get(id)) is None:
                return
            else:
                ready_t = max(ready_t, end_t)
        self._ready_t[job.id] = ready_t
        if unmet:
            self._unmet[job.id] = unmet
        else:
            heapq.heappush(self._later, (ready_t, self._order[job.id], job))

    def run(self) -> None:
        t = self._now
        while True:
            while self._releases and self._releases[0][0] <= t:
                self._num_free += heapq.heappop(self._releases)[1]
            while self._later and self._later[0][0] <= t:
                _, place, job = heapq.heappop(self._later)
                heapq.heappush(self._ready, (place, job))
            while self._ready and self._ready[0][1].num_devices <= self._num_free:
                self._start(heapq.heappop(self._ready)[1], t)
            coming = [entries[0][0] for entries in (self._releases, self._later) if entries]
            if not coming:
                return
            t = max(t, min(coming))

    def _start(self, job: WaitingJob, t: float) -> None:
        self._num_free -= job.num_devices
        if job.duration_s is None:
            self.expected[job.id] = ExpectedTimes(start_t=t)
            return
        end_t = t + job.duration_s
        self.expected[job.id] = ExpectedTimes(start_t=t, end_t=end_t)
        heapq.heappush(self._releases, (end_t, job.num_devices))
        for id in self._by_dependency.get(job.id, []):
            self._ready_t[id] = max(self._ready_t.get(id, 0.0), end_t)
            self._unmet[id].discard(job.id)
            if not self._unmet[id]:
                heapq.heappush(self._later, (self._ready_t[id], self._order[id], self._jobs[id]))


def may_overtake(
    candidate: WaitingJob,
    ahead: Sequence[WaitingJob],
    releases: Sequence[Release],
    *,
    num_free: int,
    now: float,
) -> bool:
    """Whether a job that fits now may start before those ahead of it: only if none of them then starts later.

    It may not where its own end, or the start of one ahead of it, is not known.

    Args:
        ahead: of it in the queue, in order; none of them can start now.
        releases: of the devices that are taken.
        num_free: devices that are free now.
    """
    if candidate.duration_s is None or candidate.num_devices > num_free:
        return False
    before = forecast(ahead, releases, num_free=num_free, now=now)
    with_it = [*releases, Release(now + candidate.duration_s, candidate.num_devices)]
    after = forecast(ahead, with_it, num_free=num_free - candidate.num_devices, now=now)
    return all(_is_not_later(before[job.id].start_t, after[job.id].start_t) for job in ahead)


def _is_not_later(before_t: float | None, after_t: float | None) -> bool:
    return before_t is not None and after_t is not None and after_t <= before_t


def is_wrong(*, made_t: float, expected_t: float, actual_t: float) -> bool:
    """Whether an expected start was wrong by more than a quarter of the wait that it promised, and by a minute."""
    error_s = abs(actual_t - expected_t)
    return error_s > max(60.0, 0.25 * (expected_t - made_t))
