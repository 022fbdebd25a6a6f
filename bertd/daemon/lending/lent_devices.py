"""Who may have the devices of a run that lends them: its jobs, then the run again, and nobody else. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from bertd.daemon.scheduling.devices.device_allocation import CPU, Allocation, Decision, Inventory, Wait, allocate
from bertd.jobs.store.leases import Lease, Leases
from bertd.jobs.store.queue import Job
from bertd.jobs.store.tables.lend_table import Lend
from bertd.records import LendState


def leases_with_lends(leases: Leases, lends: Sequence[Lend]) -> Leases:
    """The leases as everybody sees them who is no part of a lend: the run has all its devices throughout."""
    rows = list(leases.rows)
    for lend in lends:
        of_run = [lease for lease in rows if lease.job_id == lend.run_job_id]
        if lend.state is LendState.RETURNING and of_run:
            # It has devices again, perhaps others.
            continue
        rows = [lease for lease in rows if lease not in of_run and not _is_of_lend(lease, lend)]
        rows += [Lease(lend.run_job_id, device, slots) for device, slots in lend.devices.items()]
    return Leases(tuple(rows))


def allocate_lent(
    waiting: Sequence[Job],
    leases: Leases,
    lends: Sequence[Lend],
    inventory: Inventory,
    *,
    occupied: Collection[str] = (),
    drained: Collection[str] = (),
) -> list[Decision]:
    """Decide for the queued jobs that have to do with a lend, which nobody is ahead of."""
    decisions = list[Decision]()
    for job in waiting:
        lend = find_lend(job.id, lends)
        if lend is None:
            continue
        now = with_allocations(leases, decisions)
        if job.id == lend.run_job_id:
            others = [other for other in lends if other is not lend]
            decision = _allocate_run(job, lend, leases_with_lends(now, others), inventory, drained=drained)
        else:
            decision = _allocate_borrower(job, lend, now, inventory, occupied=occupied, drained=drained)
        decisions.append(decision)
    return decisions


def with_allocations(leases: Leases, decisions: Sequence[Decision]) -> Leases:
    """The leases as they are when these jobs have started."""
    return Leases(leases.rows + tuple(row for each in decisions if isinstance(each, Allocation) for row in _rows(each)))


def _rows(allocation: Allocation) -> list[Lease]:
    return allocation.leases()


def find_lend(job_id: int, lends: Sequence[Lend]) -> Lend | None:
    """The lend of which a job is the run, or that it borrows of."""
    for lend in lends:
        if job_id == lend.run_job_id or any(job_id == borrower.job_id for borrower in lend.borrowers):
            return lend
    return None


def lent_inventory(lend: Lend, inventory: Inventory) -> Inventory:
    """Of this machine's devices those that are lent."""
    return replace(
        inventory,
        cpu_slots=min(lend.devices.get(CPU, 0), inventory.cpu_slots),
        gpus=tuple(gpu for gpu in inventory.gpus if gpu in lend.devices),
    )


def can_start(job: Job, lend: Lend, inventory: Inventory, *, drained: Collection[str]) -> bool:
    """Whether enough of the lent devices are there and in service, whoever has them now."""
    lent = lent_inventory(lend, inventory)
    if job.device_kind == "cpu":
        return CPU not in drained and job.num_devices <= lent.cpu_slots
    return job.num_devices <= sum(gpu not in drained for gpu in lent.gpus)


def _allocate_run(job: Job, lend: Lend, leases: Leases, inventory: Inventory, *, drained: Collection[str]) -> Decision:
    if lend.state is not LendState.RETURNING:
        jobs = ", ".join(str(borrower.job_id) for borrower in lend.borrowers)
        return Wait(job, f"waits until job {jobs}, to which lend {lend.id} gave its devices, is over")
    # Its own first: others may have become free meanwhile.
    gpus = sorted(inventory.gpus, key=lambda gpu: gpu not in lend.devices)
    (decision,) = allocate([job], leases, replace(inventory, gpus=tuple(gpus)), drained=drained)
    return decision


def _allocate_borrower(
    job: Job,
    lend: Lend,
    leases: Leases,
    inventory: Inventory,
    *,
    occupied: Collection[str],
    drained: Collection[str],
) -> Decision:
    if lend.state is not LendState.LENT:
        return Wait(job, f"starts as soon as job {lend.run_job_id}, whose devices it gets, is paused")
    lent = lent_inventory(lend, inventory)
    rows = [lease for lease in leases.rows if _is_of_lend(lease, lend)]
    if lend.is_hot:
        # The suspended run keeps its memory, so that one job gets the smallest part that a GPU is divided into.
        for gpu in lent.gpus:
            parts = inventory.finetunings_per_gpu.get(gpu, 1)
            rows += [Lease(lend.run_job_id, gpu, 1, parts)] * (parts - 1)
    (decision,) = allocate([job], Leases(tuple(rows)), lent, occupied=occupied, drained=drained)
    return decision


def _is_of_lend(lease: Lease, lend: Lend) -> bool:
    return lease.job_id in lend.holders and lease.device in lend.devices
