"""Decide which devices each waiting job gets, or why it waits. Pure.

Jobs are served strictly in order within one kind of device: a small job never overtakes a large one, which would
otherwise wait forever.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from bertd.jobs.store.leases import Leases
from bertd.jobs.store.queue import Job
from bertd.records import JobKind

CPU = "cpu"
"""Id of the one device that is not a GPU; its slots are cores."""


@dataclass(frozen=True)
class Inventory:
    """The devices that can be leased."""

    cpu_slots: int
    gpus: tuple[str, ...]
    """UUIDs."""
    no_gpu_reason: str
    """Why there are no GPUs, or why some of the machine's are left out; empty where all are there."""

    def count(self, kind: str) -> int:
        """Devices of a kind: cores or GPUs."""
        return self.cpu_slots if kind == "cpu" else len(self.gpus)


@dataclass(frozen=True)
class Allocation:
    """Devices for one job."""

    job: Job
    devices: dict[str, int]
    """Device to slots."""


@dataclass(frozen=True)
class Wait:
    """Why a job gets none."""

    job: Job
    reason: str


def allocate(
    waiting: list[Job], leases: Leases, inventory: Inventory, *, occupied: Collection[str] = ()
) -> list[Allocation | Wait]:
    """Decide for each waiting job, in the order they are served.

    Args:
        occupied: GPUs that processes use which are not of this daemon: allocated last.
    """
    free_gpus = [gpu for gpu in inventory.gpus if leases.holder_of(gpu) is None]
    # Stable, so that GPUs otherwise keep their order.
    free_gpus.sort(key=lambda gpu: gpu in occupied)
    free_slots = inventory.cpu_slots - leases.slots_of(CPU)
    first_in_line: dict[str, Job] = {}
    decisions: list[Allocation | Wait] = []
    for job in waiting:
        blocking_job = first_in_line.get(job.device_kind)
        free = free_slots if job.device_kind == "cpu" else len(free_gpus)
        if blocking_job is not None:
            # Nothing overtakes, even if it would fit: the job ahead would wait for ever.
            decisions.append(Wait(job, f"waits for job {blocking_job.id}, which is ahead of it in the queue"))
        elif job.num_devices > inventory.count(job.device_kind):
            # It can never start here, so it does not block those after it.
            decisions.append(Wait(job, _unsatisfiable_reason(job, inventory)))
        elif job.num_devices > free:
            # The first of its kind that must wait; all of its kind after it wait for it.
            decisions.append(Wait(job, _wait_reason(job, leases, free=free)))
            first_in_line[job.device_kind] = job
        elif job.device_kind == "cpu":
            free_slots -= job.num_devices
            decisions.append(Allocation(job, {CPU: job.num_devices}))
        else:
            allocated_gpus, free_gpus = free_gpus[: job.num_devices], free_gpus[job.num_devices :]
            decisions.append(Allocation(job, dict.fromkeys(allocated_gpus, 1)))
    return decisions


def _wait_reason(job: Job, leases: Leases, *, free: int) -> str:
    rows = [lease for lease in leases.rows if (lease.device == CPU) == (job.device_kind == "cpu")]
    holders = [str(id) for id in sorted({lease.job_id for lease in rows})]
    unit = "cores" if job.device_kind == "cpu" else "GPUs"
    who = f"; job {', '.join(holders)} has the rest: pause or stop it, or wait" if holders else ""
    return f"waits for {job.num_devices} {unit}, {free} free{who}"


def _unsatisfiable_reason(job: Job, inventory: Inventory) -> str:
    num_available = inventory.count(job.device_kind)
    why = f" ({inventory.no_gpu_reason})" if job.device_kind == "gpu" and inventory.no_gpu_reason else ""
    fewer = (
        f"`bertd resume {job.id} --devices {num_available}`"
        if num_available and job.kind is JobKind.PRETRAIN
        else "stop it"
    )
    back = "or bring them back and start the daemon again"
    return f"asks for {job.num_devices} {job.device_kind}, this machine has {num_available}{why}; {fewer}, {back}"
