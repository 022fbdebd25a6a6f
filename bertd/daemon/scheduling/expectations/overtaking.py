"""Expected starts that know that small jobs overtake large ones. Pure.

`forecast` lets jobs start strictly in order. But a job starts earlier where it fits on free devices without delaying
those ahead of it (bertd.daemon.scheduling.expectations.backfill), and so did a third of the jobs on simulated days
(bertd.daemon_bench.expected_starts). So the jobs at the head of the queue are placed once more, each at the earliest
time at which its devices are free for as long as it takes, after all jobs ahead of it have their places: conservative
backfilling (Mu'alem and Feitelson 2001).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice

from bertd.daemon.scheduling.devices.device_allocation import MAX_OVERTAKEN
from bertd.daemon.scheduling.expectations.forecast import (
    DeviceOutlook,
    ExpectedTimes,
    GroupOutlook,
    WaitingJob,
    forecast,
)


def forecast_with_overtaking(
    waiting: Sequence[WaitingJob],
    devices: Mapping[str, DeviceOutlook],
    *,
    now: float,
    ends: Mapping[int, float | None] | None = None,
    groups: GroupOutlook | None = None,
) -> dict[int, ExpectedTimes]:
    """As `forecast`, with earlier starts for jobs that will overtake others."""
    expected = forecast(waiting, devices, now=now, ends=ends, groups=groups)
    for kind, outlook in devices.items():
        line = islice((job for job in waiting if job.device_kind == kind), MAX_OVERTAKEN + 1)
        for id, times in _place(line, outlook, now=now).items():
            in_order_t = expected[id].start_t
            if times.start_t is not None and in_order_t is not None and times.start_t < in_order_t:
                expected[id] = times
    return expected


def _place(line: Iterable[WaitingJob], outlook: DeviceOutlook, *, now: float) -> dict[int, ExpectedTimes]:
    """When the jobs of one kind of device start, up to the first that waits for more than devices and a time."""
    free = _FreeDevices(outlook, now=now)
    placed: dict[int, ExpectedTimes] = {}
    last_start_t = now
    for job in line:
        if job.group or job.after:
            break
        # A job whose end is not known overtakes nobody.
        earliest_t = max(job.not_before_t, now if job.duration_s is not None else last_start_t)
        start_t = free.find(job.num_devices, earliest_t, duration_s=job.duration_s)
        if start_t is None:
            break
        free.take(job.num_devices, start_t, duration_s=job.duration_s)
        end_t = None if job.duration_s is None else start_t + job.duration_s
        placed[job.id] = ExpectedTimes(start_t, end_t)
        last_start_t = max(last_start_t, start_t)
    return placed


class _FreeDevices:
    """How many devices are free from when on: a step function of time."""

    def __init__(self, outlook: DeviceOutlook, *, now: float) -> None:
        self._times = [now]
        self._free = [outlook.num_free]
        for release in outlook.releases:
            if release.t is not None:
                self._add(max(now, release.t), math.inf, release.num_devices)

    def find(self, number: int, earliest_t: float, *, duration_s: float | None) -> float | None:
        """The earliest time from which so many are free for so long; None for never."""
        length_s, found_t = math.inf if duration_s is None else duration_s, None
        for begin_t, end_t, free in zip(self._times, [*self._times[1:], math.inf], self._free, strict=True):
            if end_t <= earliest_t:
                continue
            if free < number:
                found_t = None
            elif found_t is None:
                found_t = max(begin_t, earliest_t)
            if found_t is not None and end_t >= found_t + length_s:
                return found_t
        return None

    def take(self, number: int, t: float, *, duration_s: float | None) -> None:
        """Have a job take some from a time on."""
        self._add(t, math.inf if duration_s is None else t + duration_s, -number)

    def _add(self, begin_t: float, end_t: float, number: int) -> None:
        for t in (begin_t, end_t):
            if t != math.inf and t not in self._times:
                index = sum(each < t for each in self._times)
                self._times.insert(index, t)
                self._free.insert(index, self._free[index - 1])
        for index, t in enumerate(self._times):
            if begin_t <= t < end_t:
                self._free[index] += number
