"""The devices that a rehearsal may use: those that no job of the daemon has."""

from __future__ import annotations

from dataclasses import dataclass

from bertd.api.client import Client
from bertd.errors import DaemonUnreachableError, DeviceError
from bertd.run.amounts.quantities import format_count
from bertd.run.recipe.schema import Recipe


@dataclass(frozen=True)
class DeviceChoice:
    """Devices of a rehearsal."""

    gpus: list[str] | None
    """UUIDs; None for those that the process sees anyway."""
    warning: str = ""


def choose_free_devices(recipe: Recipe, *, client: Client) -> DeviceChoice:
    """Free devices for a recipe; without a daemon those that the process sees.

    Raises:
        DeviceError: jobs have the GPUs that it needs.
    """
    try:
        devices = client.devices()
    except DaemonUnreachableError:
        return DeviceChoice(None)
    if recipe.devices.kind == "cpu":
        busy = sorted({f"job {job_id}" for device in devices for job_id in device.job_ids})
        text = f"{', '.join(busy)} runs on this machine, so it is slower than it would be idle" if busy else ""
        return DeviceChoice(None, text)
    gpus = [device for device in devices if device.kind == "gpu"]
    free = [gpu.id for gpu in gpus if not gpu.job_ids and not gpu.foreign_processes and gpu.drained_by is None]
    if len(free) < recipe.devices.count:
        raise DeviceError(
            f"{recipe.run.name}: needs {format_count(recipe.devices.count, 'GPU')} to be measured on, and "
            f"{len(free)} of {len(gpus)} are free; name a run that has trained with --from, or wait"
        )
    return DeviceChoice(free[: recipe.devices.count])
