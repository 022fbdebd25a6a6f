"""What a budget grants and how much of it is spent: one code path for hours, GPU-hours, steps and sequences."""

from __future__ import annotations

from dataclasses import dataclass

from bertd.records import BudgetUnit


@dataclass(frozen=True)
class Budget:
    """A grant in one unit."""

    unit: BudgetUnit
    amount: float
    """In `unit`."""
    num_devices: int
    """Devices charged at once; a GPU-hour budget runs out that many times as fast."""

    def spent(self, *, charged_s: float, steps: float, sequences: float) -> float:
        """What has been used, in the budget's unit."""
        match self.unit:
            case BudgetUnit.HOURS:
                return charged_s / 3600
            case BudgetUnit.GPU_HOURS:
                return charged_s * self.num_devices / 3600
            case BudgetUnit.STEPS:
                return float(steps)
            case BudgetUnit.SEQUENCES:
                return float(sequences)

    @property
    def is_timed(self) -> bool:
        """Whether the clock, not the work, ends the run."""
        return self.unit in (BudgetUnit.HOURS, BudgetUnit.GPU_HOURS)

    @property
    def total_s(self) -> float | None:
        """Charged seconds the whole budget lasts; None where work, not time, is budgeted."""
        match self.unit:
            case BudgetUnit.HOURS:
                return self.amount * 3600
            case BudgetUnit.GPU_HOURS:
                return self.amount * 3600 / self.num_devices
            case _:
                return None

    def progress(self, *, charged_s: float, steps: float, sequences: float) -> float:
        """Share that is spent, 0..1."""
        return min(1.0, self.spent(charged_s=charged_s, steps=steps, sequences=sequences) / self.amount)
