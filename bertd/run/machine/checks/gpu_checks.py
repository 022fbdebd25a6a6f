"""Checks of the GPUs, as their driver reports them; none makes a CUDA context."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bertd.records import Finding, Severity
from bertd.run.amounts.quantities import format_bytes, format_count
from bertd.run.machine.checks.gpu_findings import memory_errors_finding, slowed_finding
from bertd.run.machine.nvml import Nvml, harmful_slowdowns, name_slowdowns

_NVIDIA = "0x10de"
_DISPLAY_CLASS = "0x03"
"""PCI base class of displays and of 3D controllers, as GPUs without an output are. Source: PCI code assignments."""
_BUSY_BYTES = 1 << 30


@dataclass(frozen=True)
class _Gpu:
    nvml: Nvml
    handle: Any
    label: str

    def query(self, name: str, *arguments: Any) -> Any:
        """NVML's answer; None where this GPU or this driver has none."""
        try:
            return getattr(self.nvml, name)(self.handle, *arguments)
        except (self.nvml.NVMLError, AttributeError):
            return None


def count_gpus(nvml: Nvml | None) -> int:
    """GPUs that the driver lists."""
    if nvml is None:
        return 0
    try:
        return int(nvml.nvmlDeviceGetCount())
    except nvml.NVMLError:
        return 0


def check_gpus(nvml: Nvml | None, *, why_no_nvml: str, root: Path = Path("/")) -> Iterator[Finding]:
    """All checks of the GPUs.

    Args:
        nvml: initialised; None if it cannot be used, for the reason `why_no_nvml`.
        root: what stands for / in a test.
    """
    num_on_bus = _count_on_bus(root)
    if nvml is None:
        yield _judge_missing_driver(num_on_bus, why=why_no_nvml)
        return
    gpus, lost = _open_gpus(nvml)
    yield from lost
    if num_on_bus > len(gpus) + len(lost):
        yield Finding(
            check="GPUs",
            severity=Severity.FAULT,
            text=f"the machine has {format_count(num_on_bus, 'GPU')}, and the driver lists {len(gpus)}",
            remedy="look for NVRM in dmesg; a GPU that fell off the bus needs a restart of the machine",
            cost="the others do its work",
        )
    elif gpus:
        yield Finding(check="GPUs", severity=Severity.OK, text=f"{format_count(len(gpus), 'GPU')}: {_list_names(gpus)}")
    for gpu in gpus:
        yield from _check_gpu(gpu)
    yield from _check_peers(gpus)


def check_used_gpus(nvml: Nvml, *, uuids: Collection[str]) -> Iterator[Finding]:
    """What makes a run on these GPUs fail, or slow, of that which is found about each of them."""
    gpus = [gpu for gpu in _open_gpus(nvml)[0] if gpu.query("nvmlDeviceGetUUID") in uuids]
    findings = itertools.chain(*map(_check_gpu, gpus), _check_peers(gpus))
    yield from (each for each in findings if each.severity in (Severity.FAULT, Severity.SLOW))


def _count_on_bus(root: Path) -> int:
    found = 0
    for device in (root / "sys/bus/pci/devices").glob("*"):
        try:
            vendor, kind = (device / "vendor").read_text().strip(), (device / "class").read_text().strip()
        except OSError:
            continue
        found += vendor == _NVIDIA and kind.startswith(_DISPLAY_CLASS)
    return found


def _judge_missing_driver(num_on_bus: int, *, why: str) -> Finding:
    if not num_on_bus:
        return Finding(
            check="GPUs", severity=Severity.NOTE, text=f"no GPU ({why})", cost="recipes for a GPU cannot run here"
        )
    return Finding(
        check="GPUs",
        severity=Severity.FAULT,
        text=f"the machine has {format_count(num_on_bus, 'GPU')}, and the driver cannot be used: {why}",
        remedy="nvidia-smi says more; install the driver, or restart after its update",
        cost="nothing can run on them",
    )


def _open_gpus(nvml: Nvml) -> tuple[list[_Gpu], list[Finding]]:
    gpus, lost = [], []
    for index in range(count_gpus(nvml)):
        try:
            handle = nvml.nvmlDeviceGetHandleByIndex(index)
            gpus.append(_Gpu(nvml, handle, f"GPU {index} ({nvml.nvmlDeviceGetName(handle)})"))
        except nvml.NVMLError as error:
            finding = Finding(
                check="GPUs",
                severity=Severity.FAULT,
                text=f"GPU {index}: {error}",
                remedy="look for NVRM in dmesg; a lost GPU needs a restart of the machine",
                cost="a run that gets it fails",
            )
            lost.append(finding)
    return gpus, lost


def _list_names(gpus: list[_Gpu]) -> str:
    names = [str(gpu.query("nvmlDeviceGetName")) for gpu in gpus]
    return ", ".join(f"{names.count(name)} x {name}" for name in dict.fromkeys(names))


def _check_gpu(gpu: _Gpu) -> Iterator[Finding]:
    yield from _check_memory_errors(gpu)
    yield from _check_clocks(gpu)
    yield from _check_power_limit(gpu)
    yield from _check_link(gpu)
    yield from _check_modes(gpu)
    yield from _check_other_users(gpu)


def _check_memory_errors(gpu: _Gpu) -> Iterator[Finding]:
    nvml = gpu.nvml
    errors = gpu.query("nvmlDeviceGetTotalEccErrors", nvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED, nvml.NVML_VOLATILE_ECC)
    if errors:
        yield memory_errors_finding(gpu.label, errors)
    rows = gpu.query("nvmlDeviceGetRemappedRows")
    if rows is not None and (rows[2] or rows[3]):
        yield Finding(
            check="GPU memory",
            severity=Severity.FAULT,
            text=f"{gpu.label}: "
            + ("a row of memory could not be replaced" if rows[3] else "a row of memory waits to be replaced"),
            remedy="have the card replaced" if rows[3] else "restart the machine",
            cost="its memory gives errors",
        )


def _check_clocks(gpu: _Gpu) -> Iterator[Finding]:
    bits = gpu.query("nvmlDeviceGetCurrentClocksThrottleReasons")
    if reasons := harmful_slowdowns(name_slowdowns(gpu.nvml, bits)):
        yield slowed_finding(gpu.label, reasons)


def _check_power_limit(gpu: _Gpu) -> Iterator[Finding]:
    limit_mw, default_mw = (
        gpu.query("nvmlDeviceGetEnforcedPowerLimit"),
        gpu.query("nvmlDeviceGetPowerManagementDefaultLimit"),
    )
    if limit_mw and default_mw and limit_mw < default_mw:
        yield Finding(
            check="GPU power",
            severity=Severity.SLOW,
            text=f"{gpu.label}: may use {limit_mw / 1000:.0f} W of its usual {default_mw / 1000:.0f} W",
            remedy=f"nvidia-smi -pl {default_mw / 1000:.0f}, if nobody lowered it on purpose",
        )


def _check_link(gpu: _Gpu) -> Iterator[Finding]:
    # Not the generation, which a link lowers while it is idle.
    width, most = gpu.query("nvmlDeviceGetCurrPcieLinkWidth"), gpu.query("nvmlDeviceGetMaxPcieLinkWidth")
    if width and most and width < most:
        yield Finding(
            check="GPU link",
            severity=Severity.SLOW,
            text=f"{gpu.label}: its PCIe link has {width} of {most} lanes",
            remedy="reseat the card, or move it to a slot with more lanes",
            cost="copies between GPUs without NVLink, and from the CPU, take longer",
        )


def _check_modes(gpu: _Gpu) -> Iterator[Finding]:
    if gpu.query("nvmlDeviceGetPersistenceMode") == 0:
        yield Finding(
            check="GPU persistence",
            severity=Severity.NOTE,
            text=f"{gpu.label}: persistence mode is off",
            remedy="systemctl enable --now nvidia-persistenced, or nvidia-smi -pm 1",
            cost="the driver loads the card anew for each job that finds it idle",
        )
    if gpu.query("nvmlDeviceGetComputeMode") in (
        gpu.nvml.NVML_COMPUTEMODE_EXCLUSIVE_PROCESS,
        gpu.nvml.NVML_COMPUTEMODE_PROHIBITED,
    ):
        yield Finding(
            check="GPU mode",
            severity=Severity.FAULT,
            text=f"{gpu.label}: its compute mode allows at most one process",
            remedy="nvidia-smi -c DEFAULT, or bertd start --finetunings-per-gpu 1 where one is allowed",
            cost="finetunings that share it fail",
        )


def _check_other_users(gpu: _Gpu) -> Iterator[Finding]:
    processes = gpu.query("nvmlDeviceGetComputeRunningProcesses") or []
    count = format_count(len(processes), "process", "processes")
    memory = gpu.query("nvmlDeviceGetMemoryInfo")
    if processes and memory is not None and memory.used > _BUSY_BYTES:
        pids = ", ".join(str(process.pid) for process in processes)
        yield Finding(
            check="GPU users",
            severity=Severity.NOTE,
            text=f"{gpu.label}: {format_bytes(memory.used)} are in use by {count} ({pids})",
            remedy="`bertd status` shows which are not of bertd",
        )


def _check_peers(gpus: list[_Gpu]) -> Iterator[Finding]:
    blocked = []
    for one, other in itertools.combinations(gpus, 2):
        status = one.query("nvmlDeviceGetP2PStatus", other.handle, one.nvml.NVML_P2P_CAPS_INDEX_READ)
        if status is not None and status != one.nvml.NVML_P2P_STATUS_OK:
            blocked.append(f"{one.label} and {other.label}")
    if blocked:
        yield Finding(
            check="GPU peers",
            severity=Severity.SLOW,
            text=f"{format_count(len(blocked), 'pair')} of GPUs cannot read each other's memory, such as {blocked[0]}",
            remedy="usual for GeForce cards; else look at IOMMU and ACS settings (nvidia-smi topo -p2p r)",
            cost="gradients go through the CPU's memory",
        )
    elif len(gpus) > 1:
        yield Finding(check="GPU peers", severity=Severity.OK, text="the GPUs read each other's memory")
