"""Decide which devices each waiting job gets, or why it waits. Pure.

Jobs are served in order within one kind of device. A small job overtakes large ones only where the caller has shown
that none of them then starts later; otherwise they would wait for ever.

A finetuning fills a fraction of a large GPU, so that several share one. They spread over the free GPUs; while a job
that needs whole GPUs waits, they go together on those that are shared already.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import NamedTuple, TypeAlias

from bertd.daemon.scheduling.conditions.group_limits import GroupLines
from bertd.jobs.store.leases import Lease, Leases
from bertd.jobs.store.queue import Job
from bertd.records import JobKind

MAX_OVERTAKEN = 50
"""With more jobs ahead of it that must wait, a job waits its turn."""
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
    finetunings_per_gpu: Mapping[str, int] = field(default_factory=dict)
    """How many finetunings may share a GPU; where it is not listed, each has a GPU to itself."""

    def count(self, kind: str) -> int:
        """Devices of a kind: cores or GPUs."""
        return self.cpu_slots if kind == "cpu" else len(self.gpus)


@dataclass(frozen=True)
class Allocation:
    """Devices for one job."""

    job: Job
    devices: dict[str, int]
    """Device to slots."""
    parts: int = 1
    """Equal parts that the GPU is divided into, of which the job gets one."""


class Wait(NamedTuple):
    """Why a job gets none."""

    job: Job
    reason: str


class FarBehind(NamedTuple):
    """Jobs that wait their turn, with more than MAX_OVERTAKEN ahead of each."""

    jobs: list[Job]
    reason: str = f"waits for its turn: more than {MAX_OVERTAKEN} jobs are ahead of it in the queue"
    """It names none of them, so that a start changes the reasons of few jobs."""


Decision: TypeAlias = Allocation | Wait | FarBehind


def allocate(
    waiting: list[Job],
    leases: Leases,
    inventory: Inventory,
    *,
    occupied: Collection[str] = (),
    drained: Collection[str] = (),
    may_overtake: Callable[[Job, Sequence[Job], Leases], bool] = lambda job, ahead, leases: False,
    group_lines: GroupLines | None = None,
) -> list[Decision]:
    """Decide for each waiting job, in the order they are served; last for those that are far behind.

    Args:
        occupied: GPUs that processes use which are not of this daemon: allocated last.
        drained: devices that start no job; a job that cannot start without them waits.
        may_overtake: whether a job that fits may start before those ahead of it that must wait; see
            bertd.daemon.scheduling.expectations.backfill.
        group_lines: what the groups of jobs have, which gets those that start; None if there are no groups.
    """
    rows = list(leases.rows)
    ahead: dict[str, list[Job]] = {"cpu": [], "gpu": []}
    decisions: list[Decision] = []
    far_behind = FarBehind([])
    # While a job needs whole GPUs, none is divided that need not be.
    counts = {kind: inventory.count(kind) for kind in ahead}
    is_packed = bool(inventory.gpus) and any(
        _needs_whole_gpus(job) and job.num_devices <= inventory.count("gpu") for job in waiting
    )
    for job in waiting:
        blocked = ahead[job.device_kind]
        if job.group_name and group_lines is not None and (reason := group_lines.reason_to_wait(job)):
            # As a job that waits for a time, it holds nobody up but those of its group.
            decisions.append(Wait(job, reason))
            continue
        if job.num_devices > counts[job.device_kind]:
            # It can never start here, so it does not block those after it.
            decisions.append(Wait(job, _unsatisfiable_reason(job, inventory)))
            continue
        if len(blocked) > MAX_OVERTAKEN:
            far_behind.jobs.append(job)
            continue
        leased = Leases(tuple(rows))
        allocation = _find_devices(job, leased, inventory, occupied=occupied, drained=drained, is_packed=is_packed)
        if allocation is not None and (not blocked or may_overtake(job, blocked, leased)):
            rows += [Lease(job.id, device, slots, allocation.parts) for device, slots in allocation.devices.items()]
            decisions.append(allocation)
            if job.group_name and group_lines is not None:
                group_lines.note_start(job)
            continue
        # The first of its kind that must wait says what it waits for, those after it that they wait for it.
        reason = _turn_reason(blocked[0]) if blocked else _wait_reason(job, leased, inventory, drained=drained)
        decisions.append(Wait(job, reason))
        blocked.append(job)
    return [*decisions, far_behind] if far_behind.jobs else decisions


def _find_devices(
    job: Job,
    leases: Leases,
    inventory: Inventory,
    *,
    occupied: Collection[str],
    drained: Collection[str],
    is_packed: bool,
) -> Allocation | None:
    """Devices for a job from those that are free; None if there are too few."""
    if job.device_kind == "cpu":
        is_free = CPU not in drained and job.num_devices <= inventory.cpu_slots - leases.slots_of(CPU)
        return Allocation(job, {CPU: job.num_devices}) if is_free else None
    # Stable sorts, so that GPUs otherwise keep their order.
    gpus = sorted((gpu for gpu in inventory.gpus if gpu not in drained), key=lambda gpu: gpu in occupied)
    if job.kind is JobKind.FINETUNE and job.num_devices == 1:
        gpus.sort(key=leases.free_share, reverse=not is_packed)
        for gpu in gpus:
            parts = inventory.finetunings_per_gpu.get(gpu, 1)
            if leases.free_share(gpu) >= Fraction(1, parts):
                return Allocation(job, {gpu: 1}, parts)
        return None
    free = _whole_gpus(leases, gpus)
    return Allocation(job, dict.fromkeys(free[: job.num_devices], 1)) if job.num_devices <= len(free) else None


def _turn_reason(first: Job) -> str:
    return f"waits for job {first.id}, which is ahead of it in the queue"


def _needs_whole_gpus(job: Job) -> bool:
    return job.device_kind == "gpu" and job.kind is not JobKind.FINETUNE


def _whole_gpus(leases: Leases, gpus: Collection[str]) -> list[str]:
    return [gpu for gpu in gpus if leases.free_share(gpu) == 1]


def _wait_reason(job: Job, leases: Leases, inventory: Inventory, *, drained: Collection[str]) -> str:
    rows = [lease for lease in leases.rows if (lease.device == CPU) == (job.device_kind == "cpu")]
    holders = [str(id) for id in sorted({lease.job_id for lease in rows})]
    is_cpu = job.device_kind == "cpu"
    unit = ("core" if is_cpu else "GPU") + "s" * (job.num_devices > 1)
    in_service = [gpu for gpu in inventory.gpus if gpu not in drained]
    free = inventory.cpu_slots - leases.slots_of(CPU) if is_cpu else len(_whole_gpus(leases, in_service))
    verb, them = ("has", "it") if len(holders) == 1 else ("have", "one")
    names = f"job{'s' * (len(holders) > 1)} {', '.join(holders)}"
    who = f"; {names} {verb} the rest: pause or stop {them}, or wait" if holders else ""
    return f"waits for {job.num_devices} {unit}, {free} free{_drained_text(is_cpu, inventory, drained)}{who}"


def _drained_text(is_cpu: bool, inventory: Inventory, drained: Collection[str]) -> str:
    """What a job waits for because somebody drained it; empty for nothing."""
    if is_cpu:
        return f"; the CPU is drained: `bertd undrain {CPU}`" if CPU in drained else ""
    gpus = [gpu for gpu in inventory.gpus if gpu in drained]
    return f"; {len(gpus)} drained: `bertd undrain {' '.join(gpus)}`" if gpus else ""


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
