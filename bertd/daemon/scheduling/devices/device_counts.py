"""Change the number of devices of a run without a runner: checked on request, applied when the run starts.

The queue's row decides. It is committed with the answer, and leases follow it. The run folder's recipe.toml, from
which the ranks read their number, is updated right before a start; so a crash in between leaves nothing half done, and
a run never has another number of ranks than of devices.
"""

from __future__ import annotations

from pathlib import Path

from bertd.daemon.scheduling.devices.device_allocation import Inventory
from bertd.errors import DeviceError, RecipeError, TransitionError
from bertd.jobs.runner.run_job import job_lock
from bertd.jobs.store.queue import Job
from bertd.records import DevicesRecord, JobKind, JobState
from bertd.run.amounts.quantities import format_count
from bertd.run.atomic_files import atomic_write
from bertd.run.bounded_read import read_bounded
from bertd.run.journal import append_records
from bertd.run.ledger import read_ledger
from bertd.run.paths import RunPaths
from bertd.run.recipe.load import parse_recipe, read_recipe, with_device_count

_REFUSALS = {
    JobState.HELD: "is held; `bertd release {id}`, then",
    JobState.STARTING: "is being started with {count}; `bertd pause {id}`, then",
    JobState.RUNNING: "trains on {count}; `bertd pause {id}`, and when it is paused",
    JobState.PAUSING: "is still pausing; when it is paused,",
    JobState.PAUSED: "is paused hot and keeps its devices; `bertd pause {id}` makes that cold, then",
}
_OVER_REFUSAL = "is {state}, so its number of devices can no longer be changed; submit another run"
_CHANGEABLE_STATES = frozenset({JobState.PAUSED, JobState.QUEUED, JobState.FAILED, JobState.LOST})


def check_device_count(job: Job, num_devices: int, *, inventory: Inventory) -> None:
    """Check that a run can continue on `num_devices` devices.

    Raises:
        TransitionError: the job is not a run, has ranks, or is over.
        RecipeError: the batch does not divide evenly enough, or the recipe is missing.
        DeviceError: the machine has fewer.
        DaemonBusyError: a runner that this daemon does not know has the run.
    """
    _check_job(job, num_devices)
    recipe = read_recipe(RunPaths(Path(job.folder)).recipe)
    possible = [
        n
        for n in range(1, inventory.count_for_run(job.device_kind, memory_bytes=job.memory_bytes) + 1)
        if recipe.batch.divides_among(n)
    ]
    _check_inventory(job, num_devices, inventory=inventory, possible=possible)
    if num_devices not in possible:
        sizes, micro = " or ".join(map(str, sorted(set(recipe.batch.step_sizes)))), recipe.batch.micro
        each = "" if micro == "auto" else f" in micro-batches of {micro}"
        raise RecipeError(
            f"{job.run_id}: a step of {sizes} sequences divides too unevenly among "
            f"{format_count(num_devices, 'device')}{each}; give --devices {_format_choices(possible)}"
        )
    with job_lock(RunPaths(Path(job.folder))):
        pass


def apply_device_count(paths: RunPaths, num_devices: int, *, step: int, now: float) -> DevicesRecord | None:
    """Write the job's number of devices into the run's recipe and journal; None if the recipe has it already.

    Args:
        paths: of a run without a runner.
        num_devices: the job's.
        step: the run's newest.
        now: seconds since the epoch.

    Raises:
        DaemonBusyError: a runner has the run.
        RecipeError: the recipe is missing, or its batch does not divide evenly enough.
        RunFolderError: the ledger cannot be read.
        StorageError: the disk refused; the next start tries again.
    """
    recipe = read_recipe(paths.recipe)
    if recipe.devices.count == num_devices:
        return None
    text = with_device_count(read_bounded(paths.recipe).decode(), num_devices)
    parse_recipe(text, name=str(paths.recipe))
    record = DevicesRecord(
        t=now,
        step=step,
        charged_s=read_ledger(paths.ledger).ticked_s,
        before=recipe.devices.count,
        after=num_devices,
    )
    with job_lock(paths):
        append_records(paths.journal, [record])
        # After the journal: a crash in between has the change recorded twice, which is better than never.
        atomic_write(paths.recipe, text)
    return record


def _check_job(job: Job, num_devices: int) -> None:
    if job.kind is not JobKind.PRETRAIN:
        raise TransitionError(f"job {job.id}: a {job.kind} keeps its devices; only a run's can be changed")
    if job.state in _CHANGEABLE_STATES and not job.has_runner:
        return
    why = _REFUSALS.get(job.state)
    if why is None:
        raise TransitionError(f"job {job.id}: {_OVER_REFUSAL.format(state=job.state)}")
    count = f"{job.num_devices} device{'' if job.num_devices == 1 else 's'}"
    first = why.format(id=job.id, count=count)
    raise TransitionError(f"job {job.id}: {first} `bertd resume {job.id} --devices {num_devices}`")


def _check_inventory(job: Job, num_devices: int, *, inventory: Inventory, possible: list[int]) -> None:
    num_available = inventory.count_for_run(job.device_kind, memory_bytes=job.memory_bytes)
    if num_devices <= num_available:
        return
    unit = "cores" if job.device_kind == "cpu" else "GPUs"
    why = f" ({inventory.no_gpu_reason})" if job.device_kind == "gpu" and inventory.no_gpu_reason else ""
    remedy = (
        f"give --devices {_format_choices(possible)}"
        if possible
        else "bring the devices back and start the daemon again"
    )
    raise DeviceError(f"{job.run_id}: --devices {num_devices}: this machine has {num_available} {unit}{why}; {remedy}")


def _format_choices(numbers: list[int]) -> str:
    *most, last = map(str, numbers)
    return f"{', '.join(most)} or {last}" if most else last
