"""Make all checks, worst first."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from bertd.daemon.configuration.sources import default_sources
from bertd.doctor.daemon_checks import check_daemon, check_linger, find_state_dir
from bertd.doctor.storage_checks import check_storage
from bertd.doctor.torch_checks import check_torch
from bertd.records import Finding, Severity
from bertd.run.machine.checks.gpu_checks import check_gpus, count_gpus
from bertd.run.machine.checks.machine_checks import check_machine
from bertd.run.machine.nvml import load_nvml

_ORDER = list(Severity)


def examine(*, state_dir: Path | None, socket: Path, on_begin: Callable[[str], None]) -> list[Finding]:
    """Make all checks of this machine.

    Args:
        state_dir: None for that of `bertd start`.
        on_begin: called with what is looked at next, before it is.
    """
    findings: list[Finding] = []
    if state_dir is None:
        state_dir, findings = find_state_dir(default_sources())
    nvml, why_no_nvml = load_nvml()
    num_gpus = count_gpus(nvml)
    groups: dict[str, Callable[[], Iterator[Finding]]] = {
        "machine": lambda: check_machine(num_gpus=num_gpus),
        "GPUs": lambda: check_gpus(nvml, why_no_nvml=why_no_nvml),
        "torch": lambda: check_torch(num_gpus=num_gpus),
        "storage": lambda: check_storage(folder),
        "daemon": lambda: check_daemon(socket),
        "service": check_linger,
    }
    folder = state_dir
    for name, check in groups.items():
        on_begin(name)
        try:
            findings += check()
        except OSError as error:
            findings.append(Finding(check=name, severity=Severity.NOTE, text=f"could not be checked: {error}"))
    return worst_first(findings)


def worst_first(findings: Iterable[Finding]) -> list[Finding]:
    """Sorted by severity; within one as they were found."""
    return sorted(findings, key=lambda finding: _ORDER.index(finding.severity))
