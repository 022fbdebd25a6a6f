"""What NVML says of the GPU while something is timed: clocks, watts, what holds the clocks down, who else is on it.

Without it a figure cannot be compared with another day's: a card at its power limit runs at lower clocks. A thread
looks a few times a second. Nothing here imports torch or makes a CUDA context, so that a process which must not hold
memory can look too.
"""

from __future__ import annotations

import os
import statistics
import threading
from typing import Any, Self

from bertd.records.record import Record
from bertd.run.machine.nvml import Nvml, load_nvml, name_slowdowns

_PERIOD_S = 0.2


class GpuState(Record):
    """Means over the looks at a GPU."""

    sm_mhz: float | None = None
    memory_mhz: float | None = None
    power_w: float | None = None
    power_limit_w: float | None = None
    temperature_c: float | None = None
    busy: float | None = None
    """Share of the time in which a kernel ran, 0..1."""
    memory_used_bytes: int | None = None
    """Of all processes, at the last look."""
    slowed_by: tuple[str, ...] = ()
    """NVML's names for what held the clocks down at any look."""

    def describe(self) -> str:
        """For people, in one line."""
        parts = [
            None if self.sm_mhz is None else f"{self.sm_mhz:.0f} MHz",
            None if self.memory_mhz is None else f"memory {self.memory_mhz:.0f} MHz",
            None if self.power_w is None else f"{self.power_w:.0f} W",
            None if self.power_limit_w is None else f"of {self.power_limit_w:.0f} W allowed",
            None if self.temperature_c is None else f"{self.temperature_c:.0f} C",
            f"slowed by {', '.join(self.slowed_by)}" if self.slowed_by else None,
        ]
        return ", ".join(part for part in parts if part is not None)


def find_visible_gpu(nvml: Nvml) -> Any:
    """NVML's handle of the first GPU that CUDA_VISIBLE_DEVICES allows; None where NVML does not know it."""
    first = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0].strip()
    try:
        if first.isdigit():
            return nvml.nvmlDeviceGetHandleByIndex(int(first))
        return nvml.nvmlDeviceGetHandleByUUID(first)
    except nvml.NVMLError:
        return None


def running_processes(nvml: Nvml, handle: Any) -> list[int]:
    """Pids of the processes on the GPU, as the host numbers them."""
    try:
        running = nvml.nvmlDeviceGetComputeRunningProcesses(handle)
    except nvml.NVMLError:
        return []
    return sorted(process.pid for process in running)


def sample_gpu(nvml: Nvml, handle: Any) -> GpuState:
    """One look; what this card does not say is None."""

    def query(name: str, *arguments: Any) -> Any:
        try:
            return getattr(nvml, name)(handle, *arguments)
        except (nvml.NVMLError, AttributeError):
            return None

    power_mw, limit_mw = query("nvmlDeviceGetPowerUsage"), query("nvmlDeviceGetEnforcedPowerLimit")
    rates, memory = query("nvmlDeviceGetUtilizationRates"), query("nvmlDeviceGetMemoryInfo")
    return GpuState(
        sm_mhz=query("nvmlDeviceGetClockInfo", nvml.NVML_CLOCK_SM),
        memory_mhz=query("nvmlDeviceGetClockInfo", nvml.NVML_CLOCK_MEM),
        power_w=None if power_mw is None else power_mw / 1000,
        power_limit_w=None if limit_mw is None else limit_mw / 1000,
        temperature_c=query("nvmlDeviceGetTemperature", nvml.NVML_TEMPERATURE_GPU),
        busy=None if rates is None else rates.gpu / 100,
        memory_used_bytes=None if memory is None else int(memory.used),
        slowed_by=name_slowdowns(nvml, query("nvmlDeviceGetCurrentClocksThrottleReasons")),
    )


def combine_samples(samples: list[GpuState]) -> GpuState | None:
    """Their means; None of no sample."""
    if not samples:
        return None

    def mean(values: list[float | None]) -> float | None:
        known = [value for value in values if value is not None]
        return statistics.mean(known) if known else None

    return GpuState(
        sm_mhz=mean([each.sm_mhz for each in samples]),
        memory_mhz=mean([each.memory_mhz for each in samples]),
        power_w=mean([each.power_w for each in samples]),
        power_limit_w=samples[-1].power_limit_w,
        temperature_c=mean([each.temperature_c for each in samples]),
        busy=mean([each.busy for each in samples]),
        memory_used_bytes=samples[-1].memory_used_bytes,
        slowed_by=tuple(sorted({reason for each in samples for reason in each.slowed_by})),
    )


class GpuWatch:
    """Looks at the GPU while it is entered; does nothing where there is no NVML."""

    def __init__(self, *, is_wanted: bool = True) -> None:
        """`is_wanted` is False for work on the CPU."""
        self._nvml: Nvml | None = None
        self._handle: Any = None
        if is_wanted:
            self._nvml, _ = load_nvml()
            self._handle = None if self._nvml is None else find_visible_gpu(self._nvml)
        self._samples: list[GpuState] = []
        self._end = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._samples, self._end = [], threading.Event()
        if self._handle is not None:
            self._thread = threading.Thread(target=self._look_periodically, name="gpu watch", daemon=True)
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    @property
    def state(self) -> GpuState | None:
        """Over the time in which it was last entered; None where nothing could be seen."""
        return combine_samples(self._samples)

    def _look_periodically(self) -> None:
        assert self._nvml is not None
        # Not at once: the first look would see the clocks of before.
        while not self._end.wait(_PERIOD_S):
            self._samples.append(sample_gpu(self._nvml, self._handle))
