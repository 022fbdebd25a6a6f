"""The energy that a job's GPUs, and its part of the CPU, have used."""

from __future__ import annotations

from pydantic import Field

from bertd.records.record import Record


class JobEnergy(Record):
    """As measured until a time; only what was measured is counted."""

    t: float
    """Until when."""
    gpu_kwh: float = Field(description="kWh of the job's GPUs while it had them, idle too; of a shared one its part.")
    measured_s: float = Field(description="Seconds of one GPU over which that was measured.")
    unmeasured_s: float = Field(description="Seconds of one GPU that the job had it and nothing could be measured.")
    cpu_kwh: float | None = Field(
        default=None,
        description="kWh of the CPU, an estimate: what RAPL counts for the whole CPU, by the job's part of the time in"
        " which its cores were busy. None where RAPL cannot be read.",
    )
    cpu_measured_s: float = Field(default=0.0, description="Seconds of the job over which that was estimated.")
    cost: float | None = Field(
        default=None, description="Of GPUs and CPU at [power] price of bertd.toml; None without one."
    )
    currency: str | None = Field(default=None, description="Of the cost.")
