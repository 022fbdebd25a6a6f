"""Each thing that makes a GPU fail or slow is found, and a healthy one is not blamed."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bertd.records import Severity
from bertd.run.machine.checks.gpu_checks import check_gpus, count_gpus
from tests.doctor.fake_nvml import FakeNvml, FakeNvmlError


def _add_to_bus(root: Path, number: int, *, vendor: str = "0x10de", kind: str = "0x030200") -> None:
    device = root / f"sys/bus/pci/devices/0000:0{number}:00.0"
    device.mkdir(parents=True)
    (device / "vendor").write_text(vendor + "\n")
    (device / "class").write_text(kind + "\n")


def test_healthy_gpus_are_all_right(tmp_path: Path) -> None:
    for number in range(2):
        _add_to_bus(tmp_path, number)
    findings = list(check_gpus(FakeNvml(), why_no_nvml="", root=tmp_path))
    assert [(each.check, each.severity) for each in findings] == [("GPUs", Severity.OK), ("GPU peers", Severity.OK)]
    assert findings[0].text == "2 GPUs: 2 x NVIDIA H200" and count_gpus(FakeNvml()) == 2


@pytest.mark.parametrize(
    ("answers", "check", "severity", "words"),
    [
        ({"TotalEccErrors": 3}, "GPU memory", Severity.FAULT, "3 memory errors"),
        ({"RemappedRows": (1, 0, 1, 0)}, "GPU memory", Severity.FAULT, "waits to be replaced"),
        ({"RemappedRows": (0, 1, 0, 1)}, "GPU memory", Severity.FAULT, "could not be replaced"),
        ({"CurrentClocksThrottleReasons": 64 | 4}, "GPU clocks", Severity.SLOW, "HwThermalSlowdown"),
        ({"EnforcedPowerLimit": 350_000}, "GPU power", Severity.SLOW, "350 W of its usual 700 W"),
        ({"CurrPcieLinkWidth": 4}, "GPU link", Severity.SLOW, "4 of 16 lanes"),
        ({"PersistenceMode": 0}, "GPU persistence", Severity.NOTE, "persistence mode is off"),
        ({"ComputeMode": 3}, "GPU mode", Severity.FAULT, "one process"),
        ({"P2PStatus": 1}, "GPU peers", Severity.SLOW, "1 pair"),
        ({"Handle": FakeNvmlError("GPU is lost")}, "GPUs", Severity.FAULT, "GPU 1: GPU is lost"),
        (
            {"ComputeRunningProcesses": [SimpleNamespace(pid=77)], "MemoryInfo": SimpleNamespace(used=9 << 30)},
            *("GPU users", Severity.NOTE, "9.0 GiB are in use by 1 process (77)"),
        ),
    ],
)
def test_what_is_wrong_with_one_gpu_is_said_of_it_alone(
    tmp_path: Path, answers: dict[str, Any], check: str, severity: Severity, words: str
) -> None:
    findings = [each for each in check_gpus(FakeNvml(**answers), why_no_nvml="", root=tmp_path) if each.text]
    (bad,) = [each for each in findings if each.severity is not Severity.OK]
    assert (bad.check, bad.severity) == (check, severity) and words in bad.text


@pytest.mark.parametrize("name", ["TotalEccErrors", "RemappedRows", "CurrPcieLinkWidth", "MemoryInfo", "P2PStatus"])
def test_what_a_gpu_does_not_answer_is_not_held_against_it(tmp_path: Path, name: str) -> None:
    nvml = FakeNvml(**{name: FakeNvmlError("Not Supported")})
    assert {each.severity for each in check_gpus(nvml, why_no_nvml="", root=tmp_path)} == {Severity.OK}


def test_a_gpu_on_the_bus_that_the_driver_does_not_list_is_a_fault(tmp_path: Path) -> None:
    for number in range(3):
        _add_to_bus(tmp_path, number)
    _add_to_bus(tmp_path, 7, kind="0x040300")  # The sound of a card's HDMI output.
    _add_to_bus(tmp_path, 8, vendor="0x8086")
    findings = list(check_gpus(FakeNvml(), why_no_nvml="", root=tmp_path))
    assert findings[0].severity is Severity.FAULT
    assert findings[0].text == "the machine has 3 GPUs, and the driver lists 2"


def test_a_machine_without_gpus_is_told_apart_from_one_without_a_driver(tmp_path: Path) -> None:
    (none,) = check_gpus(None, why_no_nvml="NVML: not found", root=tmp_path)
    assert none.severity is Severity.NOTE and "NVML: not found" in none.text
    _add_to_bus(tmp_path, 0)
    (fault,) = check_gpus(None, why_no_nvml="NVML: version mismatch", root=tmp_path)
    assert fault.severity is Severity.FAULT and "NVML: version mismatch" in fault.text
