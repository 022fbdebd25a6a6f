"""What must be true before a pretraining is paused for another job, and what its pause costs. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from bertd.api.models import DeviceView, SubmitFinetune, SubmitGrid
from bertd.daemon.scheduling.devices.device_allocation import CPU, Inventory
from bertd.errors import BudgetError, DeviceMemoryError, SubmissionError
from bertd.jobs.store.queue import Job
from bertd.jobs.store.tables.lend_table import Lend
from bertd.metrics.journal_summary import JournalSummary
from bertd.run.amounts.durations import format_duration
from bertd.run.amounts.quantities import format_bytes
from bertd.run.budget import MIN_BUDGET_S


@dataclass(frozen=True)
class Lender:
    """A pretraining that can lend its devices."""

    job: Job
    summary: JournalSummary
    lend: Lend | None
    """The lend that it is paused for already."""
    remaining_s: float | None
    """Charged seconds until it stops to train; None for a budget of steps or sequences."""


@dataclass(frozen=True)
class LendCost:
    """What a pause is charged."""

    save_s: float | None
    """To save; None if it was not measured."""
    start_s: float | None
    """From the start of the processes to the first step."""

    @property
    def charged_s(self) -> float | None:
        """All of it."""
        return None if self.save_s is None or self.start_s is None else self.save_s + self.start_s


def charged_cost(lender: Lender, *, hot: bool) -> LendCost:
    """What the pause is charged, by the run's own newest checkpoint and start; a run that is paused costs nothing."""
    if hot or lender.lend is not None:
        return LendCost(0.0, 0.0)
    checkpoint = lender.summary.checkpoint
    save_s = None if checkpoint is None else checkpoint.seconds
    return LendCost(save_s, lender.summary.progress.startup_s)


def require_unconditional(request: SubmitFinetune | SubmitGrid) -> None:
    """Refuse a job that is to start at once, and to wait: also for its group, whose limits a lend would pass by.

    Raises:
        SubmissionError: it has a dependency, a time or a group.
    """
    given: dict[str, object] = {"--after": request.after, "--after-any": request.after_any}
    given |= {"--group": request.group, "--begin": request.begin, "--only": request.only}
    if wrong := [option for option, value in given.items() if value]:
        raise SubmissionError(f"{wrong[0]}: --now starts the job at once; leave one of the two out")


def require_time_left(lender: Lender) -> None:
    """Refuse to pause a run that would spend what it has left on the pause.

    Raises:
        BudgetError: it is about to end.
    """
    if lender.remaining_s is None:
        return
    charged_s = charged_cost(lender, hot=False).charged_s
    needed_s = MIN_BUDGET_S if charged_s is None else max(charged_s, MIN_BUDGET_S)
    if lender.remaining_s <= needed_s:
        raise BudgetError(
            f"{lender.job.run_id}: has {format_duration(lender.remaining_s)} left to train, and to save and start "
            f"again takes {format_duration(needed_s)} of that; leave --now out, and the job starts when the run is "
            "over, or give it more with `bertd budget`"
        )


def require_memory(
    lender: Lender,
    request: SubmitFinetune | SubmitGrid,
    devices: Collection[str],
    samples: Mapping[str, DeviceView],
    inventory: Inventory,
    *,
    num_processes: int,
) -> None:
    """Refuse a hot pause where the job has no room beside the run.

    On a GPU the job is held to one of the equal parts that finetunings get of it, and that much must be free now. On
    the CPU each of its processes is taken to need as much as one of the run.

    Args:
        devices: that the run has.
        samples: of the devices, the newest.
        num_processes: that the job runs at the same time.

    Raises:
        DeviceMemoryError: there is too little, or it is not known.
    """
    remedy = "leave `=hot` out to pause it cold"
    name = lender.job.run_id
    if CPU in devices:
        newest, sample = lender.summary.step, samples.get(CPU)
        if newest is None or newest.memory_bytes is None or sample is None or sample.memory_total_bytes is None:
            raise DeviceMemoryError(f"--now=hot: {name}: how much memory it needs is not measured yet; {remedy}")
        free = sample.memory_total_bytes - (sample.memory_used_bytes or 0)
        needed = newest.memory_bytes * num_processes
        if free < needed:
            raise DeviceMemoryError(
                f"--now=hot: {name} keeps its memory, and {format_bytes(free)} are free where about "
                f"{format_bytes(needed)} are needed; {remedy}"
            )
        return
    if isinstance(request, SubmitGrid):
        raise DeviceMemoryError(
            f"--now=hot: a grid takes whole GPUs, and {name} would keep its memory on them; {remedy}"
        )
    for device in devices:
        parts, sample = inventory.finetunings_per_gpu.get(device, 1), samples.get(device)
        if sample is None or sample.memory_total_bytes is None or sample.memory_used_bytes is None:
            raise DeviceMemoryError(f"--now=hot: {device}: the driver does not report its memory; {remedy}")
        free, needed = sample.memory_total_bytes - sample.memory_used_bytes, sample.memory_total_bytes // parts
        if parts < 2 or free < needed:
            raise DeviceMemoryError(
                f"--now=hot: {name} keeps its memory on {device}, where {format_bytes(free)} are free and a finetuning "
                f"may take {format_bytes(needed)}; {remedy}"
            )
