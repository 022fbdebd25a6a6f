"""Which job has which devices, as a snapshot of the table."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Lease:
    """A device, or a part of it, that one job has."""

    job_id: int
    device: str
    """A GPU's UUID, or cpu."""
    slots: int
    """Cores of the CPU; 1 of a GPU."""


@dataclass(frozen=True)
class Leases:
    """All leases at one moment."""

    rows: tuple[Lease, ...] = ()
    """By job and device."""

    def devices_of(self, job_id: int) -> list[str]:
        """Devices that a job has."""
        return [lease.device for lease in self.rows if lease.job_id == job_id]

    def slots_of(self, device: str) -> int:
        """Slots of a device that jobs have; 0 for a free one."""
        return sum(lease.slots for lease in self.rows if lease.device == device)

    def holder_of(self, device: str) -> int | None:
        """The job that has a device, of several the oldest; None for a free one."""
        return min((lease.job_id for lease in self.rows if lease.device == device), default=None)
