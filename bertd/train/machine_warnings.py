"""Findings of `bertd doctor` that concern a run, as its alerts: once, at its first start, in the doctor's words.

What the ranks fell back to is in bertd.train.start_report; what happens to a card later is alerted by the daemon.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path

from bertd.records import Finding, Severity
from bertd.run.machine.checks.gpu_checks import check_used_gpus, count_gpus
from bertd.run.machine.checks.machine_checks import check_cpu_time, check_shared_memory
from bertd.run.machine.nvml import Nvml, load_nvml
from bertd.train.check_torch import check_build

_LIMIT_S = 10.0
"""The budget is charged meanwhile, and a driver may hang."""


def collect_machine_warnings(*, device: str, num_ranks: int) -> dict[str, str]:
    """Alerts about the devices that this process may use, and about the machine; code to message.

    Args:
        device: cuda or cpu.
    """
    found: dict[str, str] = {}

    def look() -> None:
        nvml, _ = load_nvml()
        found.update(warnings_of(find_faults(nvml, os.environ, device=device, num_ranks=num_ranks)))

    thread = threading.Thread(target=look, name="machine checks", daemon=True)
    thread.start()
    thread.join(_LIMIT_S)
    return dict(found)


def find_faults(
    nvml: Nvml | None, environment: Mapping[str, str], *, device: str, num_ranks: int, root: Path = Path("/")
) -> list[Finding]:
    """What costs the run time or more; of the GPUs that the environment names by UUID, as the daemon does.

    Args:
        nvml: None where there is no driver.
        device: cuda or cpu.
        root: what stands for / in a test.
    """
    findings = list(check_cpu_time(root))
    if device == "cpu":
        findings += check_build(num_gpus=count_gpus(nvml))
    elif nvml is not None:
        uuids = [entry.strip() for entry in environment.get("CUDA_VISIBLE_DEVICES", "").split(",")]
        findings += check_used_gpus(nvml, uuids=uuids)
    if device == "cuda" and num_ranks > 1:
        findings.append(check_shared_memory(root))
    return [finding for finding in findings if finding.severity in (Severity.FAULT, Severity.SLOW)]


def warnings_of(findings: Iterable[Finding]) -> dict[str, str]:
    """One alert for each check, such as gpu_clocks, with all that it found."""
    warnings: dict[str, str] = {}
    for finding in findings:
        code = finding.check.lower().replace(" ", "_")
        warnings[code] = f"{warnings[code]}; {finding.sentence}" if code in warnings else finding.sentence
    return warnings
