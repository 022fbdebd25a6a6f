"""Sample the machine's devices and their load once a second in a thread: GPUs through NVML, the CPU through psutil.

A driver that is absent or broken means no GPUs; the reason is kept, for the jobs that request some.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import psutil

from bertd.api.models import DeviceProcess, DeviceView
from bertd.daemon.scheduling.devices.device_allocation import CPU, Inventory
from bertd.daemon.scheduling.devices.visible_gpus import GpuIdentity, select_visible_gpus
from bertd.jobs.store.leases import Leases
from bertd.run.machine.cpu_model import read_cpu_model

logger = logging.getLogger(__name__)

SAMPLE_INTERVAL_S = 1.0

_MOST_FINETUNINGS = 4
"""One finetuning of a large encoder keeps an H200 busy for about a fifth of the time, by estimate; not measured."""
_FINETUNING_BYTES = 12 * 10**9
"""For each: BERT-large with AdamW in fp32 has 5.4 GB of states, and a batch of 32 x 128 tokens takes about as much."""


_GPU_IS_LOST = 15
"""NVML_ERROR_GPU_IS_LOST. Source: nvml.h."""


class Nvml(Protocol):
    """The part of pynvml that is used; tests pass their own."""

    NVMLError: type[Exception]
    NVML_TEMPERATURE_GPU: int

    def nvmlInit(self) -> None: ...  # noqa: N802
    def nvmlDeviceGetCount(self) -> int: ...  # noqa: N802
    def nvmlDeviceGetHandleByIndex(self, index: int) -> Any: ...  # noqa: N802
    def nvmlDeviceGetUUID(self, handle: Any) -> str: ...  # noqa: N802
    def nvmlDeviceGetName(self, handle: Any) -> str: ...  # noqa: N802
    def nvmlDeviceGetUtilizationRates(self, handle: Any) -> Any: ...  # noqa: N802
    def nvmlDeviceGetMemoryInfo(self, handle: Any) -> Any: ...  # noqa: N802
    def nvmlDeviceGetTemperature(self, handle: Any, sensor: int) -> int: ...  # noqa: N802
    def nvmlDeviceGetPowerUsage(self, handle: Any) -> int: ...  # noqa: N802
    def nvmlDeviceGetComputeRunningProcesses(self, handle: Any) -> list[Any]: ...  # noqa: N802
    def nvmlDeviceGetMigMode(self, handle: Any) -> Any: ...  # noqa: N802
    def nvmlDeviceGetMaxMigDeviceCount(self, handle: Any) -> int: ...  # noqa: N802
    def nvmlDeviceGetMigDeviceHandleByIndex(self, handle: Any, index: int) -> Any: ...  # noqa: N802


@dataclass(frozen=True)
class _Gpu:
    identity: GpuIdentity
    handle: Any


class Devices:
    """The machine's devices; `views` returns the newest sample at once."""

    def __init__(
        self, nvml: Nvml, environment: Mapping[str, str] = os.environ, *, finetunings_per_gpu: int | None = None
    ) -> None:
        """Find the GPUs that the environment allows, and take a first sample.

        Args:
            finetunings_per_gpu: how many may share a GPU; None decides by each GPU's memory.
        """
        self._nvml = nvml
        gpus, no_gpu_reason = _find_gpus(nvml)
        visible = select_visible_gpus([gpu.identity for gpu in gpus], environment)
        by_uuid = {gpu.identity.uuid: gpu for gpu in gpus}
        self._gpus = [by_uuid[uuid] for uuid in visible.uuids]
        if visible.left_out_reason:
            logger.warning("%s", visible.left_out_reason)
        self._cpu_name = _cpu_name()
        self._samples: list[DeviceView] = []
        self.lost: frozenset[str] = frozenset()
        """UUIDs of the GPUs that the driver reports as lost, as of the newest sample."""
        self._stop_event = threading.Event()
        psutil.cpu_percent()  # The first call has nothing to compare with.
        self.sample()
        self.inventory = Inventory(
            cpu_slots=os.cpu_count() or 1,
            gpus=visible.uuids,
            no_gpu_reason=no_gpu_reason or visible.left_out_reason,
            finetunings_per_gpu={
                sample.id: finetunings_per_gpu or default_finetunings_per_gpu(sample.memory_total_bytes)
                for sample in self._samples
                if sample.kind == "gpu"
            },
        )
        self._thread = threading.Thread(target=self._sample_periodically, name="devices", daemon=True)

    def start(self) -> None:
        """Start to sample once a second."""
        self._thread.start()

    def stop(self) -> None:
        """Stop sampling."""
        self._stop_event.set()
        self._thread.join(timeout=5.0)

    def sample(self) -> None:
        """Sample every device once."""
        self._samples = [self._sample_cpu(), *map(self._sample_gpu, self._gpus)]
        self.lost = frozenset(gpu.identity.uuid for gpu in self._gpus if self._is_lost(gpu))

    def view(self, id: str, leases: Leases, drained: Mapping[str, str]) -> DeviceView:
        """The newest sample of one device, which must be one of them."""
        (sample,) = (sample for sample in self._samples if sample.id == id)
        return _with_holders(sample, leases.holders_of(id), drained_by=drained.get(id))

    def views(self, leases: Leases, drained: Mapping[str, str] | None = None) -> list[DeviceView]:
        """The newest sample with the leases: the GPUs, and the CPU if there are none, a job has it, or it is drained.

        Args:
            drained: devices out of service, each with who took it out.
        """
        views = [
            _with_holders(sample, leases.holders_of(sample.id), drained_by=(drained or {}).get(sample.id))
            for sample in self._samples
        ]
        return [
            view
            for view in views
            if view.kind == "gpu" or not self._gpus or view.job_id is not None or view.drained_by is not None
        ]

    def foreign_processes(self) -> dict[str, list[DeviceProcess]]:
        """Processes on each GPU that has any, for GPUs that no job has: as of the newest sample, if alive still."""
        found = {
            sample.id: [process for process in sample.foreign_processes if psutil.pid_exists(process.pid)]
            for sample in self._samples
        }
        return {uuid: processes for uuid, processes in found.items() if processes}

    def _sample_periodically(self) -> None:
        while not self._stop_event.wait(SAMPLE_INTERVAL_S):
            try:
                self.sample()
            except Exception:
                # The edge of the thread: if it ended, the last sample would be shown forever.
                logger.exception("the devices could not be sampled; tried again in a second")

    def _sample_cpu(self) -> DeviceView:
        memory = psutil.virtual_memory()
        return DeviceView(
            id=CPU,
            kind="cpu",
            name=self._cpu_name,
            utilization=psutil.cpu_percent() / 100,
            memory_used_bytes=memory.total - memory.available,
            memory_total_bytes=memory.total,
            temperature_c=None,
            power_w=None,
            job_id=None,
        )

    def _sample_gpu(self, gpu: _Gpu) -> DeviceView:
        memory = self._query(self._nvml.nvmlDeviceGetMemoryInfo, gpu.handle)
        rates = self._query(self._nvml.nvmlDeviceGetUtilizationRates, gpu.handle)
        celsius = self._query(self._nvml.nvmlDeviceGetTemperature, gpu.handle, self._nvml.NVML_TEMPERATURE_GPU)
        milliwatts = self._query(self._nvml.nvmlDeviceGetPowerUsage, gpu.handle)
        processes = self._query(self._nvml.nvmlDeviceGetComputeRunningProcesses, gpu.handle) or []
        return DeviceView(
            id=gpu.identity.uuid,
            kind="gpu",
            name=gpu.identity.name,
            utilization=None if rates is None else rates.gpu / 100,
            memory_used_bytes=None if memory is None else int(memory.used),
            memory_total_bytes=None if memory is None else int(memory.total),
            temperature_c=None if celsius is None else float(celsius),
            power_w=None if milliwatts is None else milliwatts / 1000,
            job_id=None,
            foreign_processes=[_describe_process(process) for process in processes],
        )

    def _is_lost(self, gpu: _Gpu) -> bool:
        """Whether it fell off the bus, or has no power; other errors only mean that it does not answer this query."""
        try:
            self._nvml.nvmlDeviceGetMemoryInfo(gpu.handle)
        except self._nvml.NVMLError as error:
            return getattr(error, "value", None) == _GPU_IS_LOST
        return False

    def _query(self, query: Any, *arguments: Any) -> Any:
        """The answer; None if this GPU does not have it (many do not report their power) or is gone."""
        try:
            return query(*arguments)
        except self._nvml.NVMLError:
            return None


def _with_holders(sample: DeviceView, job_ids: list[int], *, drained_by: str | None) -> DeviceView:
    """The sample of a device that jobs have, or none: processes are foreign only on the latter."""
    foreign = [] if job_ids else sample.foreign_processes
    job_id = job_ids[0] if job_ids else None
    return sample.model_copy(
        update={"job_id": job_id, "job_ids": job_ids, "foreign_processes": foreign, "drained_by": drained_by}
    )


def default_finetunings_per_gpu(memory_bytes: int | None) -> int:
    """How many finetunings share a GPU of this size unless somebody says otherwise."""
    return max(1, min(_MOST_FINETUNINGS, (memory_bytes or 0) // _FINETUNING_BYTES))


def _find_gpus(nvml: Nvml) -> tuple[list[_Gpu], str]:
    try:
        nvml.nvmlInit()
        gpus = []
        for index in range(nvml.nvmlDeviceGetCount()):
            handle = nvml.nvmlDeviceGetHandleByIndex(index)
            for device in _mig_instances(nvml, handle) or [handle]:
                identity = GpuIdentity(uuid=nvml.nvmlDeviceGetUUID(device), name=nvml.nvmlDeviceGetName(device))
                gpus.append(_Gpu(identity, device))
    except nvml.NVMLError as error:
        return [], f"NVML: {error}"
    return gpus, "" if gpus else "NVML: the driver lists no GPU"


def _mig_instances(nvml: Nvml, handle: Any) -> list[Any]:
    """The instances that a GPU in MIG mode is divided into; it cannot be used as one. Empty for any other GPU."""
    try:
        is_mig, _ = nvml.nvmlDeviceGetMigMode(handle)
    except nvml.NVMLError:
        return []
    instances = []
    for index in range(nvml.nvmlDeviceGetMaxMigDeviceCount(handle) if is_mig else 0):
        try:
            instances.append(nvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, index))
        except nvml.NVMLError:
            # Fewer instances than the GPU could have.
            continue
    return instances


def _describe_process(process: Any) -> DeviceProcess:
    user = name = "?"
    try:
        of_system = psutil.Process(process.pid)
        user, name = of_system.username(), of_system.name()
    except psutil.Error:
        # It has exited, or is in a container that hides it.
        pass
    memory = process.usedGpuMemory
    return DeviceProcess(pid=process.pid, user=user, name=name, memory_bytes=None if memory is None else int(memory))


def _cpu_name() -> str:
    return f"{read_cpu_model() or 'CPU'}, {os.cpu_count() or 1} cores"
