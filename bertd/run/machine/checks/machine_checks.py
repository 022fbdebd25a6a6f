"""Checks of the kernel, its limits and its clock, as /proc and /sys show them to this process."""

from __future__ import annotations

import ctypes
import os
import platform
import re
import resource
from collections.abc import Iterator
from pathlib import Path

from bertd.records import Finding, Severity
from bertd.run.amounts.quantities import format_bytes

_PIDFD_KERNEL = (5, 3)
"""pidfd_open, by which ranks and runners notice each other's end. Source: pidfd_open(2)."""
_MIN_PROCESSES = 512
"""Eight ranks, each with the threads of its libraries, besides what a user runs anyway."""
_NCCL_SHARED_BYTES = 1 << 30
"""Docker gives 64 MB; NCCL's documentation asks for --shm-size=1g. Source: NCCL user guide, "Docker"."""
_STA_UNSYNC = 0x0040
"""Source: adjtimex(2)."""


def check_machine(root: Path = Path("/"), *, num_gpus: int = 0) -> Iterator[Finding]:
    """All checks of the machine.

    Args:
        root: what stands for / in a test.
        num_gpus: GPUs that the driver lists.
    """
    yield _check_kernel(platform.release())
    yield _check_cores(root)
    yield _check_memory_limit(root)
    yield _check_processes(root)
    if num_gpus > 1:
        yield _check_shared_memory(root)
    yield _check_clock()
    yield from _check_governor(root)
    yield from _check_huge_pages(root)


def check_cpu_time(root: Path = Path("/")) -> Iterator[Finding]:
    """What keeps a job from the full speed of its cores."""
    yield _check_cores(root)
    yield from _check_governor(root)


def check_shared_memory(root: Path = Path("/")) -> Finding:
    """Whether the ranks of several GPUs find enough of it."""
    return _check_shared_memory(root)


def _check_kernel(release: str) -> Finding:
    match = re.match(r"(\d+)\.(\d+)", release)
    if match and (int(match[1]), int(match[2])) < _PIDFD_KERNEL:
        return Finding(
            check="kernel",
            severity=Severity.FAULT,
            text=f"Linux {release} has no pidfd_open",
            remedy="update to Linux 5.3 or newer",
            cost="no job can be started",
        )
    return Finding(check="kernel", severity=Severity.OK, text=f"Linux {release}")


def _check_cores(root: Path) -> Finding:
    usable = len(os.sched_getaffinity(0))
    quotas = [quota for path in _cgroup_folders(root) if (quota := _read_cpu_quota(path)) is not None]
    if not quotas or min(quotas) >= usable:
        return Finding(check="cores", severity=Severity.OK, text=f"{usable} cores may be used")
    quota = min(quotas)
    return Finding(
        check="cores",
        severity=Severity.SLOW,
        text=f"the cgroup allows the time of {quota:g} cores, and this process sees {usable}",
        remedy="raise CPUQuota= of the unit or --cpus of the container, or allow fewer cores with taskset",
        cost=f"threads for {usable} cores are started, and all are stopped when the time is used up",
    )


def _read_cpu_quota(folder: Path) -> float | None:
    """Cores of a cgroup of either version; None if it has no limit."""
    if (version_2 := _read(folder / "cpu.max")) is not None:
        quota, _, period = version_2.partition(" ")
        return None if quota == "max" else int(quota) / int(period)
    quota_us, period_us = _read(folder / "cpu.cfs_quota_us"), _read(folder / "cpu.cfs_period_us")
    if quota_us is None or period_us is None or int(quota_us) <= 0:
        return None
    return int(quota_us) / int(period_us)


def _check_memory_limit(root: Path) -> Finding:
    total = _read_total_memory(root)
    values = [_read(path / name) for path in _cgroup_folders(root) for name in ("memory.max", "memory.limit_in_bytes")]
    limits = [int(value) for value in values if value is not None and value.isdigit()]
    if not limits or min(limits) >= total:
        return Finding(check="memory", severity=Severity.OK, text=f"{format_bytes(total)} of memory")
    return Finding(
        check="memory",
        severity=Severity.NOTE,
        text=f"the cgroup allows {format_bytes(min(limits))} of the machine's {format_bytes(total)}",
        remedy="raise MemoryMax= of the unit or --memory of the container if jobs are killed",
    )


def _read_total_memory(root: Path) -> int:
    match = re.search(r"^MemTotal:\s+(\d+) kB", _read(root / "proc/meminfo") or "", re.MULTILINE)
    return int(match[1]) * 1024 if match else 0


def _check_processes(root: Path) -> Finding:
    soft, _ = resource.getrlimit(resource.RLIMIT_NPROC)
    values = [_read(path / "pids.max") for path in _cgroup_folders(root)]
    limits = [int(value) for value in values if value is not None and value.isdigit()]
    # Root is not bound by the limit of a user.
    limits += [soft] if soft != resource.RLIM_INFINITY and os.geteuid() else []
    if not limits or min(limits) >= _MIN_PROCESSES:
        return Finding(check="processes", severity=Severity.OK, text="enough processes and threads are allowed")
    return Finding(
        check="processes",
        severity=Severity.FAULT,
        text=f"only {min(limits)} processes and threads are allowed",
        remedy="raise TasksMax= of the unit, --pids-limit of the container, or ulimit -u",
        cost="ranks fail while they start",
    )


def _check_shared_memory(root: Path) -> Finding:
    try:
        size = os.statvfs(root / "dev/shm")
    except OSError:
        return Finding(
            check="shared memory",
            severity=Severity.FAULT,
            text="/dev/shm is not there",
            remedy="mount a tmpfs there",
            cost="NCCL cannot connect the ranks of several GPUs",
        )
    total = size.f_blocks * size.f_frsize
    if total >= _NCCL_SHARED_BYTES:
        return Finding(check="shared memory", severity=Severity.OK, text=f"/dev/shm has {format_bytes(total)}")
    return Finding(
        check="shared memory",
        severity=Severity.FAULT,
        text=f"/dev/shm has {format_bytes(total)}",
        remedy="start the container with --shm-size=1g, or mount a larger tmpfs",
        cost="NCCL may fail to connect the ranks of several GPUs",
    )


def _check_clock() -> Finding:
    class _Timex(ctypes.Structure):
        # modes, offset, freq, maxerror, esterror, status; the rest is read by nobody. Source: adjtimex(2).
        _fields_ = (
            ("modes", ctypes.c_uint),
            *((name, ctypes.c_long) for name in ("offset", "freq", "maxerror", "esterror")),
            ("status", ctypes.c_int),
            ("rest", ctypes.c_byte * 256),
        )

    timex = _Timex()
    if ctypes.CDLL(None).adjtimex(ctypes.byref(timex)) < 0:
        return Finding(check="clock", severity=Severity.NOTE, text="the kernel does not say whether it is synchronised")
    return _judge_clock(is_synchronised=not timex.status & _STA_UNSYNC)


def _judge_clock(*, is_synchronised: bool) -> Finding:
    if is_synchronised:
        return Finding(check="clock", severity=Severity.OK, text="the clock is synchronised")
    return Finding(
        check="clock",
        severity=Severity.NOTE,
        text="the clock is not synchronised with a time server",
        remedy="timedatectl set-ntp true",
        cost="times in lists and logs may be wrong; budgets are not charged by this clock",
    )


def _check_governor(root: Path) -> Iterator[Finding]:
    """The driver acpi-cpufreq keeps the lowest clock with `powersave`; intel_pstate does not."""
    folder = root / "sys/devices/system/cpu/cpu0/cpufreq"
    governor, driver = _read(folder / "scaling_governor"), _read(folder / "scaling_driver")
    if governor == "powersave" and driver not in ("intel_pstate", "amd-pstate-epp"):
        yield Finding(
            check="CPU clock",
            severity=Severity.SLOW,
            text=f"the governor `powersave` of {driver} keeps every core at its lowest clock",
            remedy="cpupower frequency-set -g performance",
        )


def _check_huge_pages(root: Path) -> Iterator[Finding]:
    setting = _read(root / "sys/kernel/mm/transparent_hugepage/enabled")
    if setting is not None and "[never]" in setting:
        yield Finding(
            check="huge pages",
            severity=Severity.NOTE,
            text="transparent huge pages are off",
            remedy="echo madvise > /sys/kernel/mm/transparent_hugepage/enabled",
            cost="not measured here; training on the CPU touches large arrays",
        )


def _cgroup_folders(root: Path) -> list[Path]:
    """The folders of this process's cgroups of either version, each with those above it."""
    folders: list[Path] = []
    for line in (_read(root / "proc/self/cgroup") or "").splitlines():
        _, controllers, path = line.split(":", 2)
        for mount in [
            root / "sys/fs/cgroup",
            *(root / "sys/fs/cgroup" / name for name in controllers.split(",") if name),
        ]:
            folder = mount / path.lstrip("/")
            # In a container the path may be that of the host, and only the top is there.
            folders += [each for each in (folder, *folder.parents) if each.is_relative_to(mount) and each.is_dir()]
    return list(dict.fromkeys(folders))


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None
