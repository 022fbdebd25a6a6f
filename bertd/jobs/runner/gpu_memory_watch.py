"""Watch the memory of a GPU that a job's processes use, as the driver counts it, against the job's limit.

A program of somebody else cannot be held to a part of a GPU, so that it is ended when it goes over. What it takes
between two looks is not seen.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Collection, Mapping
from typing import Any

import psutil

from bertd.run.amounts.quantities import format_bytes
from bertd.run.log import log_line
from bertd.run.machine.gpu_share import read_gpu_memory


class GpuMemoryWatch:
    """Looks at one GPU."""

    def __init__(self, nvml: Any, uuid: str, limit_bytes: int, *, list_pids: Callable[[], Collection[int]]) -> None:
        """Open the GPU.

        Args:
            nvml: the module pynvml, or what stands for it.
            list_pids: the processes of the job.
        """
        self._nvml = nvml
        self._limit_bytes = limit_bytes
        self._list_pids = list_pids
        self._uuid = uuid
        self._has_warned = False
        self._handle: Any = None
        try:
            nvml.nvmlInit()
            self._handle = nvml.nvmlDeviceGetHandleByUUID(uuid)
        except nvml.NVMLError as error:
            self._warn(f"NVML: {error}")

    def reason_to_end(self) -> str:
        """Why the job has to end; empty while it keeps its limit, or where nobody can say."""
        used_bytes = self._used_bytes()
        if used_bytes is None or used_bytes <= self._limit_bytes:
            return ""
        return (
            f"it uses {format_bytes(used_bytes)} of {self._uuid}, more than the {format_bytes(self._limit_bytes)} that "
            "it asked for; submit it with a larger --memory"
        )

    def _used_bytes(self) -> int | None:
        if self._handle is None:
            return None
        try:
            processes = self._nvml.nvmlDeviceGetComputeRunningProcesses(self._handle)
        except self._nvml.NVMLError as error:
            self._warn(f"NVML: {error}")
            return None
        pids = set(self._list_pids())
        sizes = [process.usedGpuMemory for process in processes if process.pid in pids]
        if any(size is None for size in sizes):
            self._warn("the driver does not say how much each process uses")
            return None
        if processes and not any(psutil.pid_exists(process.pid) for process in processes):
            # In a container with process numbers of its own the driver's are those outside.
            self._warn("the driver's process numbers are not those of this container")
            return None
        return sum(int(size) for size in sizes)

    def _warn(self, why: str) -> None:
        if not self._has_warned:
            self._has_warned = True
            log_line(
                f"runner: its limit of {format_bytes(self._limit_bytes)} of GPU memory is not watched: {why}; other "
                "jobs on that GPU may run out of memory"
            )


def watch_of_job(environment: Mapping[str, str], *, list_pids: Callable[[], Collection[int]]) -> GpuMemoryWatch | None:
    """The watch of a job that has a part of a GPU's memory; None for any other.

    Raises:
        DeviceError: the limit in the environment is not a number.
    """
    limit_bytes = read_gpu_memory(environment)
    if limit_bytes is None:
        return None
    uuid = environment.get("CUDA_VISIBLE_DEVICES", "")
    return GpuMemoryWatch(importlib.import_module("pynvml"), uuid, limit_bytes, list_pids=list_pids)


def own_descendants() -> set[int]:
    """All processes that this one has started, or that were left to it."""
    return {child.pid for child in psutil.Process().children(recursive=True)}
