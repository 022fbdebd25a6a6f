"""Which small job may start before large ones that wait: only one that is shown not to delay them. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from bertd.daemon.scheduling.devices.device_allocation import CPU, Inventory
from bertd.daemon.scheduling.expectations.forecast import DeviceOutlook, GroupOutlook, Release, WaitingJob, may_overtake
from bertd.jobs.store.leases import Leases
from bertd.jobs.store.queue import Job


def find_device_outlook(
    kind: str,
    leases: Leases,
    *,
    inventory: Inventory,
    drained: Collection[str],
    ends: Mapping[int, float | None],
) -> DeviceOutlook:
    """When the devices of a kind are free, by the ends of the jobs that have them.

    A GPU that several share is free when the last of them ends.
    """
    if kind == "cpu":
        if CPU in drained:
            return DeviceOutlook(0, ())
        rows = [lease for lease in leases.rows if lease.device == CPU]
        releases = tuple(Release(ends.get(lease.job_id), lease.slots) for lease in rows)
        return DeviceOutlook(inventory.cpu_slots - leases.slots_of(CPU), releases)
    in_service = [gpu for gpu in inventory.gpus if gpu not in drained]
    taken = [holders for gpu in in_service if (holders := leases.holders_of(gpu))]
    releases = tuple(Release(_latest([ends.get(id) for id in holders]), 1) for holders in taken)
    return DeviceOutlook(len(in_service) - len(taken), releases)


def _latest(times: list[float | None]) -> float | None:
    known = [t for t in times if t is not None]
    return max(known) if len(known) == len(times) else None


@dataclass(frozen=True)
class Backfill:
    """What is known when devices are allocated."""

    now: float
    ends: Mapping[int, float | None]
    """Of the jobs that have devices."""
    waiting: Mapping[int, WaitingJob]
    """Of the jobs that may start now; one that is not here overtakes nothing."""
    inventory: Inventory
    drained: Collection[str]
    groups: GroupOutlook = GroupOutlook({})
    """With the jobs that had devices before this round."""

    def may_overtake(self, job: Job, ahead: Sequence[Job], leases: Leases) -> bool:
        """Whether a job that fits may start now.

        Args:
            ahead: those of its kind before it in the queue, which must wait.
            leases: with those of the jobs that start in this round.
        """
        if not all(each.id in self.waiting for each in (job, *ahead)):
            return False
        if self.inventory.cards.is_mixed and any(each.memory_bytes is not None for each in ahead):
            # The forecast counts cards, whatever their size.
            return False
        started = {
            id: None if each.duration_s is None else self.now + each.duration_s
            for id, each in self.waiting.items()
            if id not in self.ends
        }
        devices = find_device_outlook(
            job.device_kind, leases, inventory=self.inventory, drained=self.drained, ends=started | dict(self.ends)
        )
        return may_overtake(
            self.waiting[job.id],
            [self.waiting[each.id] for each in ahead],
            {job.device_kind: devices},
            now=self.now,
            groups=self._groups_with(leases, started),
        )

    def _groups_with(self, leases: Leases, started: Mapping[int, float | None]) -> GroupOutlook:
        """With the jobs that start in this round, too."""
        ids = sorted({lease.job_id for lease in leases.rows} & started.keys())
        new = [(started[id], self.waiting[id].member) for id in ids if self.waiting[id].group]
        return self.groups._replace(members=(*self.groups.members, *new))
