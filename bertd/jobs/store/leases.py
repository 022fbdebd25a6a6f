"""Which job has which devices: a snapshot of the table."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Lease:
    """A device, or a part of it, leased to one job."""

    job_id: int
    device: str
    """A GPU's UUID, or cpu."""
    slots: int
    """Cores of the CPU; 1 for a GPU."""


@dataclass(frozen=True)
class Leases:
    """All leases at one moment."""

    rows: tuple[Lease, ...] = ()
    """By job and device."""

    def devices_of(self, job_id: int) -> list[str]:
        return [lease.device for lease in self.rows if lease.job_id == job_id]

    def slots_of(self, device: str) -> int:
        """Slots of a device that are leased; 0 for a free one."""
        return sum(lease.slots for lease in self.rows if lease.device == device)

    def holder_of(self, device: str) -> int | None:
        """The job that has a device, or the oldest of several; None for a free one."""
        return min((lease.job_id for lease in self.rows if lease.device == device), default=None)
