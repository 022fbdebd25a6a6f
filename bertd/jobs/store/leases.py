"""Which job has which devices, as the queue's table has it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True)
class Lease:
    """A device, or a part of it, leased to one job."""

    job_id: int
    device: str
    """A GPU's UUID, or cpu."""
    slots: int
    """Cores of the CPU; 1 for a GPU."""
    parts: int = 1
    """Equal parts that the GPU's memory is divided into, of which the job has one; 1: it has the GPU to itself."""
    memory_bytes: int | None = None
    """Of the GPU's memory, that the job may use; None for its share by parts."""
    of_bytes: int | None = None
    """The GPU's memory, for that share."""

    @property
    def share(self) -> Fraction:
        """Of the GPU, 0..1."""
        if self.memory_bytes is None or not self.of_bytes:
            return Fraction(1, self.parts)
        return Fraction(self.memory_bytes, self.of_bytes)


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

    def free_share(self, gpu: str) -> Fraction:
        """Share of a GPU that no job has, 0..1."""
        return 1 - sum((lease.share for lease in self.rows if lease.device == gpu), Fraction())

    def holders_of(self, device: str) -> list[int]:
        """The jobs that have a device or a part of it, the oldest first."""
        return sorted(lease.job_id for lease in self.rows if lease.device == device)
