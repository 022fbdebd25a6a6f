"""When the jobs that wait will start and end, by what is known of those that run. Pure.

Simulates the queue: jobs of one kind of device start strictly in order, and none overtakes. A device whose job has no
known end stays taken, so what needs it has no expected start: better none than a wrong one.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from bertd.daemon.scheduling.conditions.group_limits import GroupLimits, GroupUsage, Key, Member


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
    group: str = ""
    owner_uid: int = 0

    @property
    def member(self) -> Member:
        """What it counts for in its group."""
        return Member(self.group, self.owner_uid, self.device_kind, self.num_devices)


class GroupOutlook(NamedTuple):
    """The groups, and when the jobs that have devices leave them."""

    limits: Mapping[str, GroupLimits]
    members: tuple[tuple[float | None, Member], ...] = ()
    """Each with its end; None where it is not known."""


class ExpectedTimes(NamedTuple):
    """Seconds since the epoch; None where it is not known."""

    start_t: float | None = None
    end_t: float | None = None


_UNKNOWN = ExpectedTimes()
_NOBODY = Member("", 0, "", 0)


def forecast(
    waiting: Sequence[WaitingJob],
    devices: Mapping[str, DeviceOutlook],
    *,
    now: float,
    ends: Mapping[int, float | None] | None = None,
    groups: GroupOutlook | None = None,
) -> dict[int, ExpectedTimes]:
    """When each waiting job starts and ends.

    Args:
        waiting: in the order they are served.
        devices: by kind; a job of another kind never starts.
        ends: of jobs that run, for those that wait for them; one that is not here has no known end.
        groups: what limits jobs beside devices.
    """
    simulation = _Simulation(waiting, devices, now=now, ends=ends or {}, groups=groups or GroupOutlook({}))
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

    def first(self) -> tuple[int, WaitingJob] | None:
        """The next to start, and its place."""
        line, joined = self.line, self.joined
        if joined and not (line and line[0][0] < joined[0][0]):
            return joined[0]
        return line[0] if line else None

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
        groups: GroupOutlook,
    ) -> None:
        self._now = now
        self._lanes = {kind: _Lane(each.num_free) for kind, each in devices.items()}
        self._releases = [
            (release.t, release.num_devices, kind, _NOBODY)
            for kind, each in devices.items()
            for release in each.releases
            if release.t is not None
        ]
        self._usage = GroupUsage(groups.limits)
        self._parked: dict[Key, list[tuple[int, WaitingJob]]] = {}
        """By the limit that they wait for: heaps by place."""
        for end_t, member in groups.members:
            self._usage.add(member)
            if end_t is not None:
                self._releases.append((end_t, 0, member.device_kind, member))
        heapq.heapify(self._releases)
        self._later: list[tuple[float, int, WaitingJob]] = []
        """A heap by time; no two places are equal."""
        self._by_dependency: dict[int, list[int]] = {}
        self._unmet: dict[int, set[int]] = {}
        self._ready_t: dict[int, float] = {}
        self._has_joined = False
        self.expected = dict.fromkeys([job.id for job in waiting], _UNKNOWN)
        self._place = dict(zip(self.expected, range(len(waiting)), strict=True))
        self._jobs = waiting
        for place, job in enumerate(waiting):
            if job.device_kind not in self._lanes or (job.group and job.group not in groups.limits):
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
                _, number, kind, member = heapq.heappop(releases)
                self._lanes[kind].num_free += number
                if member.group:
                    self._usage.add(member, sign=-1)
                    self._unpark(member)
            while later and later[0][0] <= t:
                _, place, job = heapq.heappop(later)
                heapq.heappush(self._lanes[job.device_kind].joined, (place, job))
            self._has_joined = True
            while self._has_joined:
                # A start in one lane may let one of its group join another.
                self._has_joined = False
                for lane in lanes:
                    self._start_first_ones(lane, t)
            coming = [entries[0][0] for entries in (releases, later) if entries]
            if not coming:
                return
            t = max(t, min(coming))

    def _start_first_ones(self, lane: _Lane, t: float) -> None:
        while (first := lane.first()) is not None:
            place, job = first
            if job.group and (key := self._find_blocking(place, job)) is not None:
                # It holds nobody up but those of its group.
                lane.take_first()
                heapq.heappush(self._parked.setdefault(key, []), first)
                self._unpark(job.member, but=key)
                continue
            if job.num_devices > lane.num_free:
                return
            lane.take_first()
            self._start(job, lane, t)

    def _find_blocking(self, place: int, job: WaitingJob) -> Key | None:
        for key in ((job.group, None), (job.group, job.owner_uid)):
            if (parked := self._parked.get(key)) and parked[0][0] < place:
                return key
        return self._usage.find_full(job.member)

    def _unpark(self, member: Member, *, but: Key | None = None) -> None:
        """Let the first job that waits for each of a job's limits join its lane, if there is room for it."""
        for key in ((member.group, None), (member.group, member.owner_uid)):
            parked = self._parked.get(key)
            if key != but and parked and self._usage.find_full(parked[0][1].member) != key:
                place, job = heapq.heappop(parked)
                heapq.heappush(self._lanes[job.device_kind].joined, (place, job))
                self._has_joined = True

    def _start(self, job: WaitingJob, lane: _Lane, t: float) -> None:
        lane.num_free -= job.num_devices
        if job.group:
            self._usage.add(job.member)
            self._unpark(job.member)
        if job.duration_s is None:
            self.expected[job.id] = ExpectedTimes(t)
            return
        end_t = t + job.duration_s
        self.expected[job.id] = ExpectedTimes(t, end_t)
        heapq.heappush(self._releases, (end_t, job.num_devices, job.device_kind, job.member if job.group else _NOBODY))
        for place in self._by_dependency.get(job.id, ()):
            self._ready_t[place] = max(self._ready_t[place], end_t)
            unmet = self._unmet[place]
            unmet.discard(job.id)
            if not unmet:
                heapq.heappush(self._later, (self._ready_t[place], place, self._jobs[place]))


def may_overtake(
    candidate: WaitingJob,
    ahead: Sequence[WaitingJob],
    devices: Mapping[str, DeviceOutlook],
    *,
    now: float,
    groups: GroupOutlook | None = None,
) -> bool:
    """Whether a job that fits now may start before those ahead of it: only if none of them then starts later.

    It may not where its own end, or the start of one ahead of it, is not known.

    Args:
        ahead: of it in the queue, in order; none of them can start now.
        devices: by kind.
        groups: what limits jobs beside devices.
    """
    own = devices[candidate.device_kind]
    if candidate.duration_s is None or candidate.num_devices > own.num_free:
        return False
    end_t, groups = now + candidate.duration_s, groups or GroupOutlook({})
    before = forecast(ahead, devices, now=now, groups=groups)
    releases = (*own.releases, Release(end_t, candidate.num_devices))
    if candidate.group:
        groups = groups._replace(members=(*groups.members, (end_t, candidate.member)))
    with_it = DeviceOutlook(own.num_free - candidate.num_devices, releases)
    after = forecast(ahead, {**devices, candidate.device_kind: with_it}, now=now, groups=groups)
    return all(_is_not_later(before[job.id].start_t, after[job.id].start_t) for job in ahead)


def _is_not_later(before_t: float | None, after_t: float | None) -> bool:
    return before_t is not None and after_t is not None and after_t <= before_t


def is_wrong(*, made_t: float, expected_t: float, actual_t: float) -> bool:
    """Whether an expected start was wrong by more than a quarter of the wait that it promised, and by a minute."""
    error_s = abs(actual_t - expected_t)
    return error_s > max(60.0, 0.25 * (expected_t - made_t))
