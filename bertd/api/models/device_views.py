"""Devices, the processes on them, and the rest of the machine."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from bertd.records import (
    GpuReading,
    Record,
)


class DeviceProcess(Record):
    """A process that uses a GPU."""

    pid: int
    user: str
    name: str
    memory_bytes: int | None
    """On the GPU; None where the driver does not say."""
    job_id: int | None = None
    """The job that it is of; None where it is of none, or that cannot be seen."""


class DeviceView(Record):
    """One GPU, or the CPU if there is no GPU."""

    id: str
    """cpu, or the GPU's UUID."""
    kind: Literal["cpu", "gpu"]
    name: str
    utilization: float | None
    """0..1. nvidia-smi: utilization.gpu."""
    memory_used_bytes: int | None
    """nvidia-smi: memory.used."""
    memory_total_bytes: int | None
    """nvidia-smi: memory.total."""
    temperature_c: float | None
    """nvidia-smi: temperature.gpu."""
    power_w: float | None
    """nvidia-smi: power.draw."""
    job_id: int | None
    """The job that it is leased to; the oldest of several."""
    job_ids: list[int] = []
    """All jobs that it is leased to: finetunings may share a GPU."""
    foreign_processes: list[DeviceProcess] = []
    """Those that use a GPU that no job has: they are not of this daemon."""
    drained_by: str | None = None
    """Who took it out of service, so that it starts no more jobs; None while it is in service."""
    health: Literal["ok", "not_answering", "failing", "lost"] = "ok"
    """Unless it is ok, it has no readings and starts no job. not_answering: a call of its driver does not return;
    failing: its driver answers with an error."""
    health_text: str = ""
    """What is wrong, and since when."""
    health_since_t: float | None = None
    gpu: GpuReading | None = None
    """All readings of a GPU; None for the CPU, and for a GPU that is not ok."""
    processes: list[DeviceProcess] = []
    """All that compute on a GPU."""


class MachineView(Record):
    """The machine apart from its GPUs."""

    num_cores: int = Field(description="Logical cores.")
    load_1m: float = Field(description="Processes that ran or waited for a core, mean over a minute.")
    memory_used_bytes: int = Field(description="Bytes that are not available to a new program.")
    memory_total_bytes: int = Field(description="Bytes.")
    swap_used_bytes: int = Field(description="Bytes.")
    disk_free_bytes: int = Field(description="Bytes on the disk of the state folder.")
    disk_total_bytes: int = Field(description="Bytes on the disk of the state folder.")
    disk_read_bytes_per_s: float | None = Field(default=None, description="Bytes per second, of all disks.")
    disk_write_bytes_per_s: float | None = Field(default=None, description="Bytes per second, of all disks.")
    network_received_bytes_per_s: float | None = Field(default=None, description="Bytes per second, all interfaces.")
    network_sent_bytes_per_s: float | None = Field(default=None, description="Bytes per second, all interfaces.")
    cpu_power_w: float | None = Field(
        default=None, description="Watts of all CPU packages, by RAPL; None where it cannot be read."
    )
