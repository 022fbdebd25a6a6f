"""How many jobs, GPUs and cores a group of jobs may have at a time, in all and per user. Pure.

A job for which its group has no room waits without holding up others, but for those of its group: they are served in
order, so that small ones do not keep a large one from ever starting.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from bertd.jobs.store.queue import Job
from bertd.run.amounts.quantities import format_count

_MAX_NAMED = 50
"""A job with more of its group ahead of it names none of them, so that a start changes few reasons."""

Key = tuple[str, int | None]
"""What a limit is of: a group, or one user's jobs in it."""


class Limits(NamedTuple):
    """At a time; None for any number."""

    num_jobs: int | None = None
    num_gpus: int | None = None
    num_cores: int | None = None
    """Of jobs without GPUs."""


class GroupLimits(NamedTuple):
    """Of one group."""

    in_all: Limits = Limits()
    per_user: Limits = Limits()

    def keys(self, group: str, uid: int) -> tuple[tuple[Key, Limits], tuple[Key, Limits]]:
        """Both limits of a user's job."""
        return ((group, None), self.in_all), ((group, uid), self.per_user)


class Member(NamedTuple):
    """What a job of a group counts for."""

    group: str
    owner_uid: int
    device_kind: str
    num_devices: int

    @property
    def amounts(self) -> tuple[int, int, int]:
        """As in Limits."""
        gpus = self.num_devices if self.device_kind == "gpu" else 0
        return 1, gpus, self.num_devices - gpus


def member_of(job: Job) -> Member:
    """What a job counts for."""
    return Member(job.group_name, job.owner_uid, job.device_kind, job.num_devices)


class GroupUsage:
    """What the jobs of all groups have."""

    def __init__(self, groups: Mapping[str, GroupLimits]) -> None:
        self.groups = groups
        self._used: dict[Key, tuple[int, int, int]] = {}

    def add(self, member: Member, *, sign: int = 1) -> None:
        """A job has its devices, or with -1 has them no more."""
        for key in ((member.group, None), (member.group, member.owner_uid)):
            before = self._used.get(key, (0, 0, 0))
            jobs, gpus, cores = (old + sign * new for old, new in zip(before, member.amounts, strict=True))
            self._used[key] = jobs, gpus, cores

    def find_full(self, member: Member) -> Key | None:
        """The limit that a job would exceed; None where it may start. A group without limits has none."""
        for key, limits in self.groups.get(member.group, GroupLimits()).keys(member.group, member.owner_uid):
            if _exceeded(limits, self._used.get(key, (0, 0, 0)), member) is not None:
                return key
        return None

    def describe(self, key: Key, member: Member) -> str:
        """Why a job waits for that limit."""
        group, uid = key
        (_, in_all), (_, per_user) = self.groups[group].keys(group, member.owner_uid)
        limits, used = (in_all if uid is None else per_user), self._used.get(key, (0, 0, 0))
        index = _exceeded(limits, used, member)
        assert index is not None
        unit = ("job", "GPU", "core")[index]
        whose = "" if uid is None else f" of uid {uid}"
        return f"waits for its group {group}: {used[index]} of {format_count(limits[index] or 0, unit)}{whose} in use"


def _exceeded(limits: Limits, used: tuple[int, int, int], member: Member) -> int | None:
    for index, (limit, have, more) in enumerate(zip(limits, used, member.amounts, strict=True)):
        if limit is not None and more and have + more > limit:
            return index
    return None


def reason_never(job: Job, groups: Mapping[str, GroupLimits]) -> str:
    """Why a job can never start in its group, whatever ends; empty if it can."""
    if job.group_name not in groups:
        return "the configuration has no such group"
    member = member_of(job)
    for _, limits in groups[job.group_name].keys(job.group_name, job.owner_uid):
        if (index := _exceeded(limits, (0, 0, 0), member)) is not None:
            unit = ("job", "GPU", "core")[index]
            return f"needs {format_count(member.amounts[index], unit)}, and the group allows {limits[index]}"
    return ""


class GroupLines:
    """The jobs that wait for their groups while devices are allocated, in the order they are served."""

    def __init__(self, usage: GroupUsage) -> None:
        self._usage = usage
        self._ahead: dict[Key, list[int]] = {}
        """The jobs that wait for each limit."""

    def reason_to_wait(self, job: Job) -> str:
        """Why a job may not start yet as far as its group is concerned; empty if it may."""
        if why := reason_never(job, self._usage.groups):
            return f"can never start in its group {job.group_name}: {why}"
        member = member_of(job)
        for key in ((job.group_name, None), (job.group_name, job.owner_uid)):
            if ahead := self._ahead.get(key):
                ahead.append(job.id)
                if len(ahead) > _MAX_NAMED:
                    return f"waits for its turn in its group {job.group_name}: more than {_MAX_NAMED} are ahead of it"
                return f"waits for job {ahead[0]}, which is ahead of it in its group {job.group_name}"
        key_or_none = self._usage.find_full(member)
        if key_or_none is None:
            return ""
        self._ahead[key_or_none] = [job.id]
        return self._usage.describe(key_or_none, member)

    def note_start(self, job: Job) -> None:
        """It gets its devices."""
        self._usage.add(member_of(job))
