"""The machine's devices and their newest state: GPUs through NVML, the CPU through psutil.

A driver that is absent or broken means no GPUs; the reason is kept, for the jobs that request some. A card that does
not answer when the daemon starts is left out, and the others are used.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from bertd.api.models import DeviceProcess, DeviceView, MachineView
from bertd.daemon.scheduling.devices.device_allocation import CPU, Inventory
from bertd.daemon.scheduling.devices.gpu_choice import Cards
from bertd.daemon.scheduling.devices.visible_gpus import GpuIdentity, select_visible_gpus
from bertd.daemon.telemetry import gpu_sampler
from bertd.daemon.telemetry.gpu_sampler import Gpu, GpuSampler, GpuState, Health
from bertd.daemon.telemetry.machine_sampler import MachineSampler
from bertd.daemon.telemetry.process_owners import ProcessOwners
from bertd.daemon.telemetry.xid_errors import XidError
from bertd.jobs.store.leases import Leases
from bertd.run.amounts.local_times import format_local_time
from bertd.run.machine.cpu_model import read_cpu_model
from bertd.run.machine.gpu_topology import Links, read_links

logger = logging.getLogger(__name__)

_FIRST_ANSWER_S = 30.0
"""The driver loads itself, and sets up each card, when it is first asked."""

_MOST_FINETUNINGS = 4
"""One finetuning of a large encoder keeps an H200 busy for about a fifth of the time, by estimate; not measured."""
_FINETUNING_BYTES = 12 * 10**9
"""For each: BERT-large with AdamW in fp32 has 5.4 GB of states, and a batch of 32 x 128 tokens takes about as much."""


class Devices:
    """The machine's devices; `views` returns the newest sample at once."""

    def __init__(
        self,
        nvml: Any,
        environment: Mapping[str, str] = os.environ,
        *,
        finetunings_per_gpu: int | None = None,
        disk: Path = Path("/"),
        hang_s: float | None = None,
    ) -> None:
        """Find the GPUs that the environment allows, and take a first sample.

        Args:
            finetunings_per_gpu: how many may share a GPU; None decides by each GPU's memory.
            disk: the state folder, whose disk is shown, and whose jobs own processes.
            hang_s: after which a call of the driver counts as hanging.
        """
        found = _Found()
        finder = threading.Thread(target=found.look, args=(nvml,), name="NVML, asked first", daemon=True)
        finder.start()
        finder.join(_FIRST_ANSWER_S)
        if finder.is_alive():
            logger.error("NVML does not answer, so the daemon goes on without GPUs")
            found = _Found(reason="NVML: does not answer; look for processes in state D, then restart the machine")
        gpus = found.gpus
        visible = select_visible_gpus([GpuIdentity(uuid=gpu.uuid, name=gpu.name) for gpu in gpus], environment)
        by_uuid = {gpu.uuid: gpu for gpu in gpus}
        self._gpus = [by_uuid[uuid] for uuid in visible.uuids]
        if visible.left_out_reason:
            logger.warning("%s", visible.left_out_reason)
        if found.reason:
            logger.warning("%s", found.reason)
        self.left_out = found.left_out
        """The cards that could not be used when the daemon began."""
        self._cpu_name = _cpu_name()
        self._cpu_sample = self._sample_cpu()
        self._machine = MachineSampler(disk=disk)
        self._sampler = GpuSampler(
            nvml,
            self._gpus,
            describe_process=ProcessOwners(disk).describe,
            on_round=self._on_round,
            hang_s=gpu_sampler.HANG_S if hang_s is None else hang_s,
        )
        psutil.cpu_percent()  # The first call has nothing to compare with.
        self._sampler.read_first()
        states = self._sampler.states()
        self.inventory = Inventory(
            cpu_slots=os.cpu_count() or 1,
            gpus=visible.uuids,
            no_gpu_reason=found.reason or visible.left_out_reason,
            finetunings_per_gpu={
                uuid: finetunings_per_gpu or default_finetunings_per_gpu(_memory_bytes(states[uuid]))
                for uuid in visible.uuids
            },
            cards=Cards(
                memory_bytes={
                    uuid: size for uuid in visible.uuids if (size := _memory_bytes(states[uuid])) is not None
                },
                links=found.links,
            ),
        )

    def start(self) -> None:
        """Start to sample once a second."""
        self._sampler.start()

    def stop(self) -> None:
        """Stop sampling."""
        self._sampler.stop()

    def sample(self) -> None:
        """Sample every device once."""
        self._on_round()
        self._sampler.read_all()

    def states(self) -> dict[str, GpuState]:
        """The newest state of each GPU; returns at once, also while its driver hangs."""
        self._sampler.give_up_hanging()
        return self._sampler.states()

    def take_xids(self) -> list[tuple[str, XidError]]:
        """The errors that drivers reported since the last call, each with the GPU's UUID."""
        return self._sampler.take_xids()

    def unusable(self) -> dict[str, str]:
        """GPUs that can do no work now, each with the reason."""
        return {uuid: health_text(state) for uuid, state in self.states().items() if state.health is not Health.OK}

    @property
    def machine(self) -> MachineView:
        """The newest sample of the rest of the machine."""
        return self._machine.newest

    def label(self, uuid: str) -> str:
        """A GPU as `bertd devices` and `bertd doctor` number and name it."""
        number = self.inventory.gpus.index(uuid)
        return f"GPU {number} ({self._gpus[number].name})"

    def view(self, id: str, leases: Leases, drained: Mapping[str, str]) -> DeviceView:
        """The newest sample of one device, which must be one of them."""
        (sample,) = (sample for sample in self._samples() if sample.id == id)
        return _with_holders(sample, leases.holders_of(id), drained_by=drained.get(id))

    def views(self, leases: Leases, drained: Mapping[str, str] | None = None) -> list[DeviceView]:
        """The newest sample with the leases: the GPUs, and the CPU if there are none, a job has it, or it is drained.

        Args:
            drained: devices out of service, each with who took it out.
        """
        views = [
            _with_holders(sample, leases.holders_of(sample.id), drained_by=(drained or {}).get(sample.id))
            for sample in self._samples()
        ]
        return [
            view
            for view in views
            if view.kind == "gpu" or not self._gpus or view.job_id is not None or view.drained_by is not None
        ]

    def foreign_processes(self) -> dict[str, list[DeviceProcess]]:
        """Processes on each GPU that has any, for GPUs that no job has: as of the newest sample, if alive still."""
        found = {
            uuid: [process for process in state.processes if psutil.pid_exists(process.pid)]
            for uuid, state in self.states().items()
        }
        return {uuid: processes for uuid, processes in found.items() if processes}

    def _samples(self) -> list[DeviceView]:
        states = self.states()
        return [self._cpu_sample, *(_gpu_view(gpu, states[gpu.uuid]) for gpu in self._gpus)]

    def _on_round(self) -> None:
        self._cpu_sample = self._sample_cpu()
        self._machine.sample()

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


class LeftOut(NamedTuple):
    """A card that the daemon does not use."""

    text: str
    """`GPU 1 is left out: ` and why."""
    remedy: str
    state: str
    """Of its event."""


@dataclass
class _Found:
    """The GPUs that the driver lists."""

    gpus: list[Gpu] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    reason: str = ""
    """Why there are none, or which are left out; empty where all are there."""
    links: Links = field(default_factory=dict)

    def look(self, nvml: Any) -> None:
        """Ask the driver."""
        reason = ""
        try:
            nvml.nvmlInit()
            for index in range(nvml.nvmlDeviceGetCount()):
                self._look_at(nvml, index)
            self.links = read_links(nvml, {gpu.uuid: gpu.board for gpu in self.gpus})
        except nvml.NVMLError as error:
            reason = f"NVML: {error}"
        self.reason = (
            reason
            or "; ".join(each.text for each in self.left_out)
            or ("" if self.gpus else "NVML: the driver lists no GPU")
        )

    def _look_at(self, nvml: Any, index: int) -> None:
        try:
            found = _devices_of(nvml, nvml.nvmlDeviceGetHandleByIndex(index))
        except nvml.NVMLError as error:
            self._leave_out(index, str(error), "restart the machine or reset the GPU", state="lost")
            return
        if not found:
            remedy = (
                f"make some with `nvidia-smi mig -i {index} -cgi ID -C`, or end that mode with `nvidia-smi -i {index} "
                "-mig 0`, then start the daemon again"
            )
            self._leave_out(index, "it is in MIG mode and has no instances", remedy, state="no instances")
        self.gpus += found

    def _leave_out(self, index: int, why: str, remedy: str, *, state: str) -> None:
        self.left_out.append(LeftOut(f"GPU {index} is left out: {why}", remedy, state))


def _devices_of(nvml: Any, board: Any) -> list[Gpu]:
    """The GPU, or its instances if it is in MIG mode, when it cannot be used as one."""
    instances = _mig_instances(nvml, board)
    handles = [board] if instances is None else instances
    return [
        Gpu(uuid=nvml.nvmlDeviceGetUUID(handle), name=nvml.nvmlDeviceGetName(handle), handle=handle, board=board)
        for handle in handles
    ]


def _gpu_view(gpu: Gpu, state: GpuState) -> DeviceView:
    reading = state.reading
    return DeviceView(
        id=gpu.uuid,
        kind="gpu",
        name=gpu.name,
        utilization=None if reading is None else reading.utilization,
        memory_used_bytes=None if reading is None else reading.memory_used_bytes,
        memory_total_bytes=None if reading is None else reading.memory_total_bytes,
        temperature_c=None if reading is None else reading.temperature_c,
        power_w=None if reading is None else reading.power_w,
        job_id=None,
        foreign_processes=list(state.processes),
        processes=list(state.processes),
        gpu=reading,
        health=state.health.value,
        health_text=health_text(state),
        health_since_t=state.since_t,
    )


def health_text(state: GpuState) -> str:
    """What is wrong with a GPU and since when; empty for one that works."""
    if state.health is Health.OK:
        return ""
    since = (
        ""
        if state.since_t is None
        else f" since {format_local_time(state.since_t, now=time.time()).removeprefix('at ')}"
    )
    return f"{state.health.value.replace('_', ' ')}{since}: {state.error}"


def _memory_bytes(state: GpuState) -> int | None:
    return None if state.reading is None else state.reading.memory_total_bytes


def _with_holders(sample: DeviceView, job_ids: list[int], *, drained_by: str | None) -> DeviceView:
    """The sample of a device that jobs have, or none: processes are foreign only on the latter."""
    foreign = [] if job_ids else [process for process in sample.foreign_processes if process.job_id is None]
    job_id = job_ids[0] if job_ids else None
    return sample.model_copy(
        update={"job_id": job_id, "job_ids": job_ids, "foreign_processes": foreign, "drained_by": drained_by}
    )


def default_finetunings_per_gpu(memory_bytes: int | None) -> int:
    """How many finetunings share a GPU of this size unless somebody says otherwise."""
    return max(1, min(_MOST_FINETUNINGS, (memory_bytes or 0) // _FINETUNING_BYTES))


def _mig_instances(nvml: Any, handle: Any) -> list[Any] | None:
    """The instances that a GPU in MIG mode is divided into; None for any other GPU."""
    try:
        is_mig, _ = nvml.nvmlDeviceGetMigMode(handle)
    except nvml.NVMLError:
        return None
    if not is_mig:
        return None
    instances = []
    for index in range(nvml.nvmlDeviceGetMaxMigDeviceCount(handle)):
        try:
            instances.append(nvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, index))
        except nvml.NVMLError:
            # Fewer instances than the GPU could have.
            continue
    return instances


def _cpu_name() -> str:
    return f"{read_cpu_model() or 'CPU'}, {os.cpu_count() or 1} cores"
