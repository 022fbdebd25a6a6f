"""What is found about a GPU while jobs use it, worded once for `bertd doctor` and for the alerts of a run. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from bertd.records import Finding, Severity
from bertd.run.amounts.quantities import format_count


def slowed_finding(label: str, reasons: Iterable[str]) -> Finding:
    """A GPU whose clocks are held down."""
    return Finding(
        check="GPU clocks",
        severity=Severity.SLOW,
        text=f"{label}: its clocks are held down: {', '.join(reasons)}",
        remedy="check fans, inlet temperature and power supply; nvidia-smi -q -d PERFORMANCE says more",
        cost="every step takes longer, and the other GPUs wait for it",
    )


def memory_errors_finding(label: str, num_errors: int) -> Finding:
    """A GPU with errors of its memory that were not corrected."""
    return Finding(
        check="GPU memory",
        severity=Severity.FAULT,
        text=f"{label}: {format_count(num_errors, 'memory error')} not corrected since the driver was loaded",
        remedy="restart the machine; if they come back, have the card replaced",
        cost="a run on it may crash or learn from wrong numbers",
    )
