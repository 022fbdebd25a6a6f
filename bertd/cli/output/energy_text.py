"""A job's energy as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bertd.run.amounts.durations import format_duration

if TYPE_CHECKING:
    from bertd.records import JobEnergy


def format_energy(energy: JobEnergy) -> str:
    """Kilowatt-hours, their cost where a price is known, and what could not be measured."""
    parts: list[str] = []
    if energy.measured_s or energy.cpu_kwh is None:
        parts.append(f"{energy.gpu_kwh:.3f} kWh of its GPUs")
    if energy.cpu_kwh is not None:
        parts.append(f"about {energy.cpu_kwh:.3f} kWh of the CPU, by its part of the CPU time")
    if energy.cost is not None:
        parts.append(f"{energy.cost:.2f} {energy.currency}")
    if energy.unmeasured_s >= 1.0:
        parts.append(f"without {format_duration(energy.unmeasured_s)} of GPU time")
    return ", ".join(parts)
