"""The rest of the machine once a second: cores, memory, disk and network, through psutil; the CPU's power by RAPL."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import psutil

from bertd.api.models import MachineView
from bertd.run.machine.cpu_energy import CpuEnergy


class MachineSampler:
    """Takes samples; rates are those since the sample before."""

    def __init__(
        self, *, disk: Path, cpu_energy: CpuEnergy | None = None, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """`disk`: a folder on the disk whose room is shown."""
        self._disk = disk
        self._monotonic = monotonic
        self._cpu_energy = cpu_energy or CpuEnergy()
        self._before: tuple[float, dict[str, float]] | None = None
        self.newest = self._view({})

    def sample(self) -> None:
        """Take one sample."""
        now_s, counters = self._monotonic(), self._counters()
        rates: dict[str, float] = {}
        if self._before is not None and now_s > self._before[0]:
            before_s, before = self._before
            # A device that was unplugged takes its count with it.
            rates = {
                name: max(0.0, (count - before[name]) / (now_s - before_s))
                for name, count in counters.items()
                if name in before
            }
        self._before = (now_s, counters)
        self.newest = self._view(rates)

    def _counters(self) -> dict[str, float]:
        disk, network = psutil.disk_io_counters(), psutil.net_io_counters()
        counters: dict[str, float] = {}
        if disk is not None:
            counters |= {"disk_read_bytes_per_s": disk.read_bytes, "disk_write_bytes_per_s": disk.write_bytes}
        if network is not None:
            counters |= {
                "network_received_bytes_per_s": network.bytes_recv,
                "network_sent_bytes_per_s": network.bytes_sent,
            }
        if (joules := self._cpu_energy.read_j()) is not None:
            counters["cpu_power_w"] = joules
        return counters

    def _view(self, rates: dict[str, float]) -> MachineView:
        memory, swap, disk = psutil.virtual_memory(), psutil.swap_memory(), psutil.disk_usage(str(self._disk))
        return MachineView(
            num_cores=psutil.cpu_count() or 1,
            load_1m=psutil.getloadavg()[0],
            memory_used_bytes=memory.total - memory.available,
            memory_total_bytes=memory.total,
            swap_used_bytes=swap.used,
            disk_free_bytes=disk.free,
            disk_total_bytes=disk.total,
            **rates,
        )
