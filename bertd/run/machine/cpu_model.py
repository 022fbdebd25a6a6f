"""The product name of this machine's processor."""

from __future__ import annotations

from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")


def read_cpu_model(path: Path = _CPUINFO) -> str | None:
    """The product name; None if the kernel reports none, as on most ARM machines."""
    with path.open(encoding="utf-8", errors="replace") as file:
        return next((line.partition(":")[2].strip() for line in file if line.startswith("model name")), None)
