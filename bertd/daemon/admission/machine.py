"""Admit a pretraining by the machine: its devices, the room on its disk, the packages of its trackers."""

from __future__ import annotations

import shutil
from pathlib import Path

from bertd.daemon.admission.quota import Quotas
from bertd.daemon.scheduling.devices.device_allocation import Inventory, is_instance
from bertd.errors import DeviceError, SubmissionError
from bertd.run.amounts.quantities import format_bytes, format_count
from bertd.run.machine.disk_space import estimate_disk_need, estimate_num_parameters, require_disk_space
from bertd.run.recipe.schema import Recipe
from bertd.trackers.sinks.open_sink import MetricsFormat, find_missing_package


def require_devices(recipe: Recipe, *, name: str, inventory: Inventory) -> None:
    """Refuse a run that asks for devices that the machine does not have.

    Raises:
        DeviceError: it does.
    """
    num_requested, kind = recipe.devices.count, recipe.devices.kind
    need_bytes = recipe.devices.memory_bytes
    num_available = inventory.count_for_run(kind, memory_bytes=need_bytes)
    size = "" if need_bytes is None else f" of {format_bytes(need_bytes)}"
    if num_requested <= num_available:
        return
    if kind == "gpu":
        why = f" ({inventory.no_gpu_reason})" if inventory.no_gpu_reason else ""
        if not why and any(map(is_instance, inventory.gpus)):
            why = " (a run can have one instance of a GPU in MIG mode, and not several)"
        remedy = (
            f"--set devices.count={num_available}"
            if num_available
            else "--set devices.kind=cpu, with a count this machine has"
        )
        raise DeviceError(
            f"{name}: [devices] asks for {num_requested} gpu{size}, this machine has {num_available}{why}; {remedy}"
        )
    raise DeviceError(
        f"{name}: [devices] asks for {num_requested} cpu, this machine has {format_count(num_available, 'core')}; "
        f"--set devices.count={num_available}"
    )


def require_room(recipe: Recipe, *, name: str, vocab_size: int, folder: Path, quotas: Quotas) -> None:
    """Refuse a run whose checkpoints and exports the disk of `folder`, or the quota of a run, cannot hold.

    Raises:
        StorageError: there is too little space.
        QuotaError: the quota is too small.
    """
    num_parameters = estimate_num_parameters(recipe, vocab_size=vocab_size)
    least = recipe.checkpoint.model_copy(update={"keep": 1})
    quotas.require_fitting(estimate_disk_need(least, num_parameters=num_parameters), name=name)
    needed_bytes = estimate_disk_need(recipe.checkpoint, num_parameters=num_parameters)
    require_disk_space(needed_bytes, free_bytes=shutil.disk_usage(folder).free, used_bytes=0, folder=folder)


def require_trackers(recipe: Recipe, *, name: str) -> None:
    """Refuse a run whose trackers have no package here.

    Raises:
        SubmissionError: one has none.
    """
    for tracker in recipe.trackers.to:
        if missing := find_missing_package(MetricsFormat(tracker)):
            raise SubmissionError(f"{name}: [trackers] to: {missing}, in the daemon's environment, or leave it out")
