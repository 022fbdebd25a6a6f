"""What the pretraining of an export cost, beside its scores. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from bertd.api.models import RunView
from bertd.records import BudgetUnit


@dataclass(frozen=True)
class ExportCost:
    """Charged time of a pretraining until it wrote an export."""

    num_devices: int
    device_name: str
    is_gpu: bool
    hours: float

    @property
    def gpu_hours(self) -> float | None:
        """Hours times GPUs; None on CPU."""
        return self.hours * self.num_devices if self.is_gpu else None

    @property
    def hardware(self) -> str:
        """As published rows name it: `8 x NVIDIA H200, 24 h`."""
        return f"{self.num_devices} x {self.device_name}, {self.hours:.3g} h"


def export_costs(runs: Iterable[RunView], sources: Iterable[str]) -> dict[str, ExportCost]:
    """By the export's name, run/step, the costs that the runs tell.

    Not told: of an export outside the runs, of a run that began from other weights or changed its number of devices,
    and of an export that is neither the newest nor of a kept checkpoint of a run whose budget, in hours, is unchanged.
    """
    runs_by_id = {run.id: run for run in runs}
    costs = {}
    for source in sources:
        run_id, _, name = source.partition("/")
        run = runs_by_id.get(run_id)
        if run is None or run.start is None or run.start_from is not None or run.devices_change is not None:
            continue
        hours = _charged_hours(run, name, num_devices=run.start.world_size)
        if hours is not None:
            costs[source] = ExportCost(run.start.world_size, run.start.device_name, run.start.device == "cuda", hours)
    return costs


def _charged_hours(run: RunView, name: str, *, num_devices: int) -> float | None:
    if run.export is not None and run.export.name == name:
        return run.export.charged_s / 3600
    kept = next((each for each in run.kept if each.name == name), None)
    if kept is None or run.budget_change is not None:
        return None
    match run.budget.unit:
        case BudgetUnit.HOURS:
            return kept.progress * run.budget.amount
        case BudgetUnit.GPU_HOURS:
            return kept.progress * run.budget.amount / num_devices
        case _:
            return None
