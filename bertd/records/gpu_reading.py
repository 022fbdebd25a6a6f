"""What the driver says of one GPU at one time; each reading with its unit and its field of `nvidia-smi --query-gpu`."""

from __future__ import annotations

from pydantic import Field

from bertd.records.record import Record


class GpuReading(Record):
    """One look at a GPU; None for what this card or its driver does not say."""

    utilization: float | None = Field(
        default=None,
        description="Share of the last second or less in which a kernel ran, 0..1. nvidia-smi: utilization.gpu (%).",
    )
    memory_utilization: float | None = Field(
        default=None,
        description="Share of that time in which memory was read or written, 0..1. nvidia-smi: utilization.memory (%).",
    )
    memory_used_bytes: int | None = Field(default=None, description="Bytes. nvidia-smi: memory.used (MiB).")
    memory_total_bytes: int | None = Field(default=None, description="Bytes. nvidia-smi: memory.total (MiB).")
    power_w: float | None = Field(default=None, description="Watts. nvidia-smi: power.draw (W).")
    power_limit_w: float | None = Field(default=None, description="Watts. nvidia-smi: enforced.power.limit (W).")
    temperature_c: float | None = Field(default=None, description="Degrees Celsius. nvidia-smi: temperature.gpu (C).")
    sm_mhz: float | None = Field(default=None, description="MHz. nvidia-smi: clocks.current.sm (MHz).")
    sm_max_mhz: float | None = Field(default=None, description="MHz. nvidia-smi: clocks.max.sm (MHz).")
    memory_mhz: float | None = Field(default=None, description="MHz. nvidia-smi: clocks.current.memory (MHz).")
    slowed_by: tuple[str, ...] = Field(
        default=(),
        description="NVML's names for what holds the clocks down. nvidia-smi: clocks_event_reasons.* (Active).",
    )
    ecc_corrected: int | None = Field(
        default=None,
        description="Memory errors corrected since the driver was loaded. "
        "nvidia-smi: ecc.errors.corrected.volatile.total.",
    )
    ecc_uncorrected: int | None = Field(
        default=None,
        description="Memory errors not corrected since the driver was loaded. "
        "nvidia-smi: ecc.errors.uncorrected.volatile.total.",
    )
    pcie_generation: int | None = Field(
        default=None, description="Lower while the card is idle. nvidia-smi: pcie.link.gen.gpucurrent."
    )
    pcie_width: int | None = Field(default=None, description="Lanes. nvidia-smi: pcie.link.width.current.")
    pcie_max_width: int | None = Field(default=None, description="Lanes. nvidia-smi: pcie.link.width.max.")
    pcie_replays: int | None = Field(
        default=None,
        description="Packets sent again over PCIe since the card was reset. nvidia-smi -q: Replays Since Reset.",
    )
    nvlink_errors: int | None = Field(
        default=None,
        description="CRC errors, replays and recoveries of all NVLinks since the card was reset, added up. "
        "nvidia-smi nvlink -e.",
    )
    energy_j: float | None = Field(
        default=None,
        description="Joules since the driver was loaded, as the card counts them. nvidia-smi: none; "
        "NVML: nvmlDeviceGetTotalEnergyConsumption (mJ).",
    )
