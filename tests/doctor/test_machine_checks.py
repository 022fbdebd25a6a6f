"""The limits that /proc and /sys show are found, in cgroups of both versions."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import pytest

from bertd.records import Finding, Severity
from bertd.run.machine.checks import machine_checks
from bertd.run.machine.checks.machine_checks import check_machine


def _machine(root: Path, **files: str) -> Path:
    """A root folder with these files, `__` in names for a slash and `DOT` for a dot."""
    contents = {"proc/meminfo": "MemTotal:       65536000 kB\n", "proc/self/cgroup": "0::/system.slice/bertd.service\n"}
    contents |= {name.replace("__", "/").replace("DOT", "."): text for name, text in files.items()}
    for name, text in contents.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def _findings(root: Path) -> dict[str, Finding]:
    return {each.check: each for each in check_machine(root)}


_UNIT = "sys__fs__cgroup__system.slice__bertd.service__"


def test_a_machine_without_limits_has_no_fault(tmp_path: Path) -> None:
    root = _machine(tmp_path, **{f"{_UNIT}cpu.max": "max 100000\n", f"{_UNIT}memory.max": "max\n"})
    assert {_findings(root)[name].severity for name in ("cores", "memory", "processes", "kernel")} == {Severity.OK}


@pytest.mark.parametrize(
    "files",
    [
        {f"{_UNIT}cpu.max": "50000 100000\n"},
        {"sys__fs__cgroup__system.slice__cpu.max": "50000 100000\n", f"{_UNIT}cpu.max": "max 100000"},
        {
            "proc__self__cgroup": "4:cpu,cpuacct:/docker/1\n",
            "sys__fs__cgroup__cpu__docker__1__cpu.cfs_quota_us": "50000\n",
            "sys__fs__cgroup__cpu__docker__1__cpu.cfs_period_us": "100000\n",
        },
        {
            # In a container the path is the host's, and only the top of the mount is there.
            "proc__self__cgroup": "4:cpu:/docker/1\n",
            "sys__fs__cgroup__cpu__cpu.cfs_quota_us": "50000\n",
            "sys__fs__cgroup__cpu__cpu.cfs_period_us": "100000\n",
        },
    ],
    ids=["its own", "one above it", "version 1", "version 1 in a container"],
)
def test_a_share_of_the_cores_is_found(tmp_path: Path, files: dict[str, str]) -> None:
    finding = _findings(_machine(tmp_path, **files))["cores"]
    assert finding.severity is Severity.SLOW and "the time of 0.5 cores" in finding.text


def test_limits_of_memory_and_of_processes_are_found(tmp_path: Path) -> None:
    root = _machine(tmp_path, **{f"{_UNIT}memory.max": f"{4 << 30}\n", f"{_UNIT}pids.max": "100\n"})
    findings = _findings(root)
    assert (
        findings["memory"].severity is Severity.NOTE and "4.0 GiB of the machine's 62.5 GiB" in findings["memory"].text
    )
    assert findings["processes"].severity is Severity.FAULT and "only 100" in findings["processes"].text


def test_little_shared_memory_matters_to_several_gpus_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = _machine(tmp_path)
    assert "shared memory" not in _findings(root)
    (fault,) = [each for each in check_machine(root, num_gpus=2) if each.check == "shared memory"]
    assert fault.severity is Severity.FAULT and "not there" in fault.text
    (root / "dev/shm").mkdir(parents=True)
    for blocks, severity in ((16_384, Severity.FAULT), (262_144, Severity.OK)):
        size = os.statvfs_result((4096, 4096, blocks, blocks, blocks, 0, 0, 0, 0, 255))
        monkeypatch.setattr(os, "statvfs", lambda _, size=size: size)
        (finding,) = [each for each in check_machine(root, num_gpus=2) if each.check == "shared memory"]
        assert finding.severity is severity


def test_a_cpu_that_is_kept_slow_and_missing_huge_pages_are_found(tmp_path: Path) -> None:
    files = {
        "sys__devices__system__cpu__cpu0__cpufreq__scaling_governor": "powersave\n",
        "sys__devices__system__cpu__cpu0__cpufreq__scaling_driver": "acpi-cpufreq\n",
        "sys__kernel__mm__transparent_hugepage__enabled": "always madvise [never]\n",
    }
    findings = _findings(_machine(tmp_path, **files))
    assert findings["CPU clock"].severity is Severity.SLOW and findings["huge pages"].severity is Severity.NOTE
    files["sys__devices__system__cpu__cpu0__cpufreq__scaling_driver"] = "intel_pstate\n"
    files["sys__kernel__mm__transparent_hugepage__enabled"] = "always [madvise] never\n"
    assert not {"CPU clock", "huge pages"} & set(_findings(_machine(tmp_path, **files)))


@pytest.mark.parametrize(("release", "severity"), [("5.2.0-generic", Severity.FAULT), ("5.15.0-91", Severity.OK)])
def test_an_old_kernel_is_a_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, release: str, severity: Severity
) -> None:
    monkeypatch.setattr(platform, "release", lambda: release)
    assert _findings(_machine(tmp_path))["kernel"].severity is severity


def test_the_kernel_says_whether_the_clock_is_synchronised(tmp_path: Path) -> None:
    assert _findings(_machine(tmp_path))["clock"].text
    assert machine_checks._judge_clock(is_synchronised=True).severity is Severity.OK
