"""A job's energy as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bertd.run.amounts.durations import format_duration

if TYPE_CHECKING:
    from bertd.records import JobEnergy


def format_energy(energy: JobEnergy) -> str:
    """Kilowatt-hours, their cost where a price is known, and what could not be measured."""
    cost = "" if energy.cost is None else f", {energy.cost:.2f} {energy.currency}"
    gap = f", without {format_duration(energy.unmeasured_s)} of GPU time" if energy.unmeasured_s >= 1.0 else ""
    return f"{energy.gpu_kwh:.3f} kWh of its GPUs{cost}{gap}"
