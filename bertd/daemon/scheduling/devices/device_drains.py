"""Take devices out of service, and back, by the names that people give them."""

from __future__ import annotations

from bertd.daemon.scheduling.devices.device_allocation import CPU, Inventory
from bertd.errors import UnknownDeviceError
from bertd.jobs.store.tables.drained_devices import DrainedDevices

_MIN_PREFIX = len("GPU-") + 1
"""Every GPU's UUID begins like that."""


class DeviceDrains:
    """Drains devices of this machine."""

    def __init__(self, drained: DrainedDevices, *, inventory: Inventory) -> None:
        self._drained = drained
        self._inventory = inventory

    def set_drained(self, name: str, *, is_drained: bool, asked_by: str, now: float) -> str:
        """Drain a device, or bring it back; return its id.

        Args:
            name: cpu, a GPU's number in `bertd devices`, its UUID or a beginning of that.

        Raises:
            UnknownDeviceError: there is no such device, or it could be several.
        """
        device = self._find(name)
        change = self._drained.drain if is_drained else self._drained.undrain
        change(device, asked_by=asked_by, now=now)
        return device

    def _find(self, name: str) -> str:
        gpus = self._inventory.gpus
        if name == CPU:
            return CPU
        if name.isascii() and name.isdigit() and int(name) < len(gpus):
            return gpus[int(name)]
        matches = [gpu for gpu in gpus if gpu == name or (len(name) >= _MIN_PREFIX and gpu.startswith(name))]
        if len(matches) == 1:
            return matches[0]
        known = ", ".join([*(f"{index} ({gpu})" for index, gpu in enumerate(gpus)), CPU])
        problem = f"could be {' or '.join(matches)}" if matches else f"no such device; there are: {known}"
        raise UnknownDeviceError(f"{name}: {problem}")
