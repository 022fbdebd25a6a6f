"""The energy that a job's GPUs have used."""

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
    cost: float | None = Field(default=None, description="At [power] price of bertd.toml; None without one.")
    currency: str | None = Field(default=None, description="Of the cost.")
