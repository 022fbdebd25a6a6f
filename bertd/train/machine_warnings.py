"""Findings of `bertd doctor` that concern a run, as its alerts: once, at its first start, in the doctor's words.

What the ranks fell back to is in bertd.train.start_report; what happens to a card later is alerted by the daemon.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path

from bertd.records import Finding, Severity
from bertd.run.machine.checks.gpu_checks import check_used_gpus
from bertd.run.machine.checks.machine_checks import check_shared_memory
from bertd.run.machine.nvml import Nvml, load_nvml

_LIMIT_S = 10.0
"""The budget is charged meanwhile, and a driver may hang."""


def collect_machine_warnings(*, num_ranks: int) -> dict[str, str]:
    """Alerts about the GPUs that this process may use, and about the machine; code to message."""
    found: dict[str, str] = {}

    def look() -> None:
        nvml, _ = load_nvml()
        if nvml is not None:
            found.update(warnings_of(find_faults(nvml, os.environ, num_ranks=num_ranks)))

    thread = threading.Thread(target=look, name="machine checks", daemon=True)
    thread.start()
    thread.join(_LIMIT_S)
    return dict(found)


def find_faults(nvml: Nvml, environment: Mapping[str, str], *, num_ranks: int, root: Path = Path("/")) -> list[Finding]:
    """What costs the run time or more; of the GPUs that the environment names by UUID, as the daemon does."""
    uuids = [entry.strip() for entry in environment.get("CUDA_VISIBLE_DEVICES", "").split(",")]
    findings = list(check_used_gpus(nvml, uuids=uuids))
    if num_ranks > 1:
        findings.append(check_shared_memory(root))
    return [finding for finding in findings if finding.severity in (Severity.FAULT, Severity.SLOW)]


def warnings_of(findings: Iterable[Finding]) -> dict[str, str]:
    """One alert for each check, such as gpu_clocks, with all that it found."""
    warnings: dict[str, str] = {}
    for finding in findings:
        code = finding.check.lower().replace(" ", "_")
        warnings[code] = f"{warnings[code]}; {finding.sentence}" if code in warnings else finding.sentence
    return warnings
