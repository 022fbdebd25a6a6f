"""When the jobs that wait will start and end, by what is known of those that run. Pure.

Simulates the queue: jobs of one kind of device start strictly in order, and none overtakes. A device whose job has no
known end stays taken, so what needs it has no expected start: better none than a wrong one.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Mapping, Sequence
from typing import NamedTuple


class Release(NamedTuple):
    """Devices that are free again at a time."""

    t: float | None
    """Seconds since the epoch; None where it is not known."""
    num_devices: int


class DeviceOutlook(NamedTuple):
    """The devices of one kind: how many are free, and when the others are."""

    num_free: int
    releases: tuple[Release, ...] = ()


class WaitingJob(NamedTuple):
    """What a forecast needs to know of a job that waits."""

    id: int
    num_devices: int
    duration_s: float | None
    """From its start to its end; None where it is not known."""
    not_before_t: float = 0.0
    """Begin time, or the beginning of its hours."""
    after: tuple[int, ...] = ()
    """Jobs that must have ended."""
    device_kind: str = "cpu"


class ExpectedTimes(NamedTuple):
    """Seconds since the epoch; None where it is not known."""

    start_t: float | None = None
    end_t: float | None = None


_UNKNOWN = ExpectedTimes()


def forecast(
    waiting: Sequence[WaitingJob],
    devices: Mapping[str, DeviceOutlook],
    *,
    now: float,
    ends: Mapping[int, float | None] | None = None,
) -> dict[int, ExpectedTimes]:
    """When each waiting job starts and ends.

    Args:
        waiting: in the order they are served.
        devices: by kind; a job of another kind never starts.
        ends: of jobs that run, for those that wait for them; one that is not here has no known end.
    """
    simulation = _Simulation(waiting, devices, now=now, ends=ends or {})
    simulation.run()
    return simulation.expected


class _Lane:
    """The jobs that wait for devices of one kind."""

    def __init__(self, num_free: int) -> None:
        self.num_free = num_free
        self.line: deque[tuple[int, WaitingJob]] = deque()
        """By place: those that could start from the beginning on."""
        self.joined: list[tuple[int, WaitingJob]] = []
        """A heap by place: those that could not."""

    def first(self) -> WaitingJob | None:
        """The next to start, if it fits."""
        line, joined = self.line, self.joined
        if joined and not (line and line[0][0] < joined[0][0]):
            return joined[0][1] if joined[0][1].num_devices <= self.num_free else None
        return line[0][1] if line and line[0][1].num_devices <= self.num_free else None

    def take_first(self) -> None:
        if self.joined and not (self.line and self.line[0][0] < self.joined[0][0]):
            heapq.heappop(self.joined)
        else:
            self.line.popleft()


class _Simulation:
    """Simulates one event after the other: devices that become free, jobs that may start from then on."""

    def __init__(
        self,
        waiting: Sequence[WaitingJob],
        devices: Mapping[str, DeviceOutlook],
        *,
        now: float,
        ends: Mapping[int, float | None],
    ) -> None:
        self._now = now
        self._lanes = {kind: _Lane(each.num_free) for kind, each in devices.items()}
        self._releases = [
            (release.t, release.num_devices, kind)
            for kind, each in devices.items()
            for release in each.releases
            if release.t is not None
        ]
        heapq.heapify(self._releases)
        self._later: list[tuple[float, int, WaitingJob]] = []
        """A heap by time; no two places are equal."""
        self._by_dependency: dict[int, list[int]] = {}
        self._unmet: dict[int, set[int]] = {}
        self._ready_t: dict[int, float] = {}
        self.expected = dict.fromkeys([job.id for job in waiting], _UNKNOWN)
        self._place = dict(zip(self.expected, range(len(waiting)), strict=True))
        self._jobs = waiting
        for place, job in enumerate(waiting):
            if job.device_kind not in self._lanes:
                continue
            if not job.after and job.not_before_t <= now:
                self._lanes[job.device_kind].line.append((place, job))
            else:
                self._add_later(place, job, ends)

    def _add_later(self, place: int, job: WaitingJob, ends: Mapping[int, float | None]) -> None:
        ready_t, unmet = max(self._now, job.not_before_t), set[int]()
        for id in job.after:
            if id in self._place:
                unmet.add(id)
                self._by_dependency.setdefault(id, []).append(place)
            elif (end_t := ends.get(id)) is None:
                return
            else:
                ready_t = max(ready_t, end_t)
        if unmet:
            self._ready_t[place], self._unmet[place] = ready_t, unmet
        else:
            heapq.heappush(self._later, (ready_t, place, job))

    def run(self) -> None:
        t, releases, later, lanes = self._now, self._releases, self._later, list(self._lanes.values())
        while True:
            while releases and releases[0][0] <= t:
                _, number, kind = heapq.heappop(releases)
                self._lanes[kind].num_free += number
            while later and later[0][0] <= t:
                _, place, job = heapq.heappop(later)
                heapq.heappush(self._lanes[job.device_kind].joined, (place, job))
            for lane in lanes:
                while (first := lane.first()) is not None:
                    lane.take_first()
                    self._start(first, lane, t)
            coming = [entries[0][0] for entries in (releases, later) if entries]
            if not coming:
                return
            t = max(t, min(coming))

    def _start(self, job: WaitingJob, lane: _Lane, t: float) -> None:
        lane.num_free -= job.num_devices
        if job.duration_s is None:
            self.expected[job.id] = ExpectedTimes(t)
            return
        end_t = t + job.duration_s
        self.expected[job.id] = ExpectedTimes(t, end_t)
        heapq.heappush(self._releases, (end_t, job.num_devices, job.device_kind))
        for place in self._by_dependency.get(job.id, ()):
            self._ready_t[place] = max(self._ready_t[place], end_t)
            unmet = self._unmet[place]
            unmet.discard(job.id)
            if not unmet:
                heapq.heappush(self._later, (self._ready_t[place], place, self._jobs[place]))


def may_overtake(
    candidate: WaitingJob, ahead: Sequence[WaitingJob], devices: Mapping[str, DeviceOutlook], *, now: float
) -> bool:
    """Whether a job that fits now may start before those ahead of it: only if none of them then starts later.

    It may not where its own end, or the start of one ahead of it, is not known.

    Args:
        ahead: of it in the queue, in order; none of them can start now.
        devices: by kind.
    """
    own = devices[candidate.device_kind]
    if candidate.duration_s is None or candidate.num_devices > own.num_free:
        return False
    before = forecast(ahead, devices, now=now)
    releases = (*own.releases, Release(now + candidate.duration_s, candidate.num_devices))
    with_it = DeviceOutlook(own.num_free - candidate.num_devices, releases)
    after = forecast(ahead, {**devices, candidate.device_kind: with_it}, now=now)
    return all(_is_not_later(before[job.id].start_t, after[job.id].start_t) for job in ahead)


def _is_not_later(before_t: float | None, after_t: float | None) -> bool:
    return before_t is not None and after_t is not None and after_t <= before_t


def is_wrong(*, made_t: float, expected_t: float, actual_t: float) -> bool:
    """Whether an expected start was wrong by more than a quarter of the wait that it promised, and by a minute."""
    error_s = abs(actual_t - expected_t)
    return error_s > max(60.0, 0.25 * (expected_t - made_t))
