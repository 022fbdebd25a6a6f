"""Decide which devices each waiting job gets, or why it waits. Pure.

Jobs are served in order within one kind of device. A small job overtakes large ones only where the caller has shown
that none of them then starts later; otherwise they would wait for ever.

A finetuning fills a fraction of a large GPU, so that several share one. They spread over the free GPUs; while a job
that needs whole GPUs waits, they go together on those that are shared already. So do programs that ask for a part of a
GPU's memory. Which of the whole GPUs a job gets is in gpu_choice.py.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import NamedTuple, TypeAlias

from bertd.daemon.scheduling.conditions.group_limits import GroupLines
from bertd.daemon.scheduling.devices.gpu_choice import Cards, choose_gpus
from bertd.jobs.store.leases import Lease, Leases
from bertd.jobs.store.queue import Job
from bertd.records import PROGRAM_KINDS, JobKind
from bertd.run.amounts.quantities import format_bytes

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
    cards: Cards = field(default_factory=Cards)
    """Memory and links of the GPUs."""

    def count(self, kind: str, *, memory_bytes: int | None = None) -> int:
        """Devices of a kind: cores, or GPUs that have so much memory."""
        return self.cpu_slots if kind == "cpu" else sum(self.cards.fits(gpu, memory_bytes) for gpu in self.gpus)

    def count_for_run(self, kind: str, *, memory_bytes: int | None = None) -> int:
        """The most devices that one run can have: of the instances of GPUs in MIG mode it can have one."""
        if kind == "cpu":
            return self.cpu_slots
        fitting = [gpu for gpu in self.gpus if self.cards.fits(gpu, memory_bytes)]
        return max(sum(not is_instance(gpu) for gpu in fitting), min(1, len(fitting)))


def is_instance(gpu: str) -> bool:
    """Whether this UUID is of an instance of a GPU in MIG mode: a process sees one of them, and NCCL links none."""
    return gpu.startswith("MIG-")


@dataclass(frozen=True)
class Allocation:
    """Devices for one job."""

    job: Job
    devices: dict[str, int]
    """Device to slots."""
    parts: int = 1
    """Equal parts that the GPU is divided into, of which the job gets one."""
    memory_bytes: int | None = None
    """Of the GPU's memory, that the job may use; None for its share by parts."""
    of_bytes: int | None = None
    """The GPU's memory, for that share."""

    def leases(self) -> list[Lease]:
        """Its rows."""
        return [
            Lease(self.job.id, device, slots, self.parts, self.memory_bytes, self.of_bytes)
            for device, slots in self.devices.items()
        ]


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
    measured_bytes: Callable[[Job], int | None] = lambda job: None,
) -> list[Decision]:
    """Decide for each waiting job, in the order they are served; last for those that are far behind.

    Args:
        occupied: GPUs that processes use which are not of this daemon: allocated last.
        drained: devices that start no job; a job that cannot start without them waits.
        may_overtake: whether a job that fits may start before those ahead of it that must wait; see
            bertd.daemon.scheduling.expectations.backfill. One that shares a GPU never may: that forecast counts
            whole ones.
        measured_bytes: the memory of each GPU that a job was seen to use; None where it has not run on one.
        group_lines: what the groups of jobs have, which gets those that start; None if there are no groups.
    """
    rows = list(leases.rows)
    ahead: dict[str, list[Job]] = {"cpu": [], "gpu": []}
    decisions: list[Decision] = []
    far_behind = FarBehind([])
    # While a job needs whole GPUs, none is divided that need not be.
    counts = {kind: inventory.count(kind) for kind in ahead}
    is_packed = bool(inventory.gpus) and any(
        _needs_whole_gpus(job) and job.num_devices <= inventory.count("gpu", memory_bytes=job.memory_bytes)
        for job in waiting
    )
    for job in waiting:
        blocked = ahead[job.device_kind]
        if job.group_name and group_lines is not None and (reason := group_lines.reason_to_wait(job)):
            # As a job that waits for a time, it holds nobody up but those of its group.
            decisions.append(Wait(job, reason))
            continue
        if job.num_devices > counts[job.device_kind] or _needs_other_cards(job, inventory):
            # It can never start here, so it does not block those after it.
            decisions.append(Wait(job, _unsatisfiable_reason(job, inventory)))
            continue
        if len(blocked) > MAX_OVERTAKEN:
            far_behind.jobs.append(job)
            continue
        leased = Leases(tuple(rows))
        allocation = _find_devices(
            job, leased, inventory, occupied=occupied, drained=drained, is_packed=is_packed, wish_bytes=measured_bytes
        )
        is_allowed = not blocked or (not shares_gpu(job) and may_overtake(job, blocked, leased))
        if allocation is not None and is_allowed:
            rows += allocation.leases()
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
    wish_bytes: Callable[[Job], int | None],
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
    if shares_gpu(job):
        return _find_memory(job, leases, inventory, gpus=gpus, occupied=occupied, is_packed=is_packed)
    # In the machine's order: the choice puts those last that others use.
    free = _whole_gpus(leases, [gpu for gpu in _candidates(job, inventory) if gpu not in drained])
    if job.num_devices > len(free):
        return None
    chosen = choose_gpus(
        free,
        job.num_devices,
        cards=inventory.cards,
        need_bytes=job.memory_bytes,
        wish_bytes=wish_bytes(job),
        occupied=occupied,
    )
    return None if chosen is None else Allocation(job, dict.fromkeys(chosen, 1))


def _find_memory(
    job: Job,
    leases: Leases,
    inventory: Inventory,
    *,
    gpus: Sequence[str],
    occupied: Collection[str],
    is_packed: bool,
) -> Allocation | None:
    """A part of a GPU's memory: of the smallest card that has it, else as finetunings share."""
    sizes, need_bytes = inventory.cards.memory_bytes, job.memory_bytes
    assert need_bytes is not None
    for gpu in sorted(
        (gpu for gpu in gpus if inventory.cards.fits(gpu, need_bytes)),
        key=lambda gpu: (gpu in occupied, sizes[gpu], leases.free_share(gpu) * (1 if is_packed else -1)),
    ):
        if leases.free_share(gpu) >= Fraction(need_bytes, sizes[gpu]):
            return Allocation(job, {gpu: 1}, memory_bytes=need_bytes, of_bytes=sizes[gpu])
    return None


def shares_gpu(job: Job) -> bool:
    """Whether a job has only a part of a GPU's memory, by what was asked for."""
    return job.device_kind == "gpu" and job.memory_bytes is not None and job.kind in PROGRAM_KINDS


def _needs_other_cards(job: Job, inventory: Inventory) -> bool:
    return job.num_devices > _count_for(job, inventory)


def _count_for(job: Job, inventory: Inventory) -> int:
    count = inventory.count_for_run if job.kind is JobKind.PRETRAIN else inventory.count
    return count(job.device_kind, memory_bytes=job.memory_bytes)


def _candidates(job: Job, inventory: Inventory) -> list[str]:
    """The GPUs that a job may have; see `Inventory.count_for_run`."""
    needs_whole = job.kind is JobKind.PRETRAIN and job.num_devices > 1
    return [gpu for gpu in inventory.gpus if not (needs_whole and is_instance(gpu))]


def _turn_reason(first: Job) -> str:
    return f"waits for job {first.id}, which is ahead of it in the queue"


def _needs_whole_gpus(job: Job) -> bool:
    return job.device_kind == "gpu" and job.kind is not JobKind.FINETUNE and not shares_gpu(job)


def _whole_gpus(leases: Leases, gpus: Collection[str]) -> list[str]:
    return [gpu for gpu in gpus if leases.free_share(gpu) == 1]


def _wait_reason(job: Job, leases: Leases, inventory: Inventory, *, drained: Collection[str]) -> str:
    rows = [lease for lease in leases.rows if (lease.device == CPU) == (job.device_kind == "cpu")]
    holders = [str(id) for id in sorted({lease.job_id for lease in rows})]
    is_cpu = job.device_kind == "cpu"
    unit = ("core" if is_cpu else "GPU") + "s" * (job.num_devices > 1)
    in_service = [gpu for gpu in _candidates(job, inventory) if gpu not in drained]
    free = inventory.cpu_slots - leases.slots_of(CPU) if is_cpu else len(_whole_gpus(leases, in_service))
    verb, them = ("has", "it") if len(holders) == 1 else ("have", "one")
    names = f"job{'s' * (len(holders) > 1)} {', '.join(holders)}"
    who = f"; {names} {verb} the rest: pause or stop {them}, or wait" if holders else ""
    if not is_cpu and job.memory_bytes is not None:
        fitting = [gpu for gpu in in_service if inventory.cards.fits(gpu, job.memory_bytes)]
        free, size = len(_whole_gpus(leases, fitting)), format_bytes(job.memory_bytes)
        if shares_gpu(job):
            return f"waits for {size} of a GPU's memory{_drained_text(is_cpu, inventory, drained)}{who}"
        unit = f"{unit} of {size}"
    return f"waits for {job.num_devices} {unit}, {free} free{_drained_text(is_cpu, inventory, drained)}{who}"


def _drained_text(is_cpu: bool, inventory: Inventory, drained: Collection[str]) -> str:
    """What a job waits for because somebody drained it; empty for nothing."""
    if is_cpu:
        return f"; the CPU is drained: `bertd undrain {CPU}`" if CPU in drained else ""
    gpus = [gpu for gpu in inventory.gpus if gpu in drained]
    return f"; {len(gpus)} drained: `bertd undrain {' '.join(gpus)}`" if gpus else ""


def _unsatisfiable_reason(job: Job, inventory: Inventory) -> str:
    num_available = _count_for(job, inventory)
    size = f" of {format_bytes(job.memory_bytes)}" if job.memory_bytes is not None else ""
    why = f" ({inventory.no_gpu_reason})" if job.device_kind == "gpu" and inventory.no_gpu_reason else ""
    fewer = (
        f"`bertd resume {job.id} --devices {num_available}`"
        if num_available and job.kind is JobKind.PRETRAIN
        else "stop it"
    )
    back = "or bring them back and start the daemon again"
    return f"asks for {job.num_devices} {job.device_kind}{size}, this machine has {num_available}{why}; {fewer}, {back}"
