"""What the pretraining of an export cost."""

from __future__ import annotations

import pytest

from bertd.api.models import RunView
from bertd.cli.output.export_cost import ExportCost, export_costs
from bertd.records import BudgetRecord, BudgetUnit, DevicesRecord, ExportRecord
from tests.cli import samples

KEPT, NEWEST = "7-demo/step-000012000", "7-demo/step-000024000"


def _run(**changes: object) -> RunView:
    return samples.run().model_copy(update=changes)


def test_the_newest_export_cost_what_was_charged_until_it_was_written() -> None:
    export = ExportRecord(
        t=1.0, step=24_000, charged_s=7200.0, name="step-000024000", architecture="BertForMaskedLM", seconds=1.0
    )
    costs = export_costs([_run(export=export)], [NEWEST, "/models/bert", "9-other/step-000000100"])
    assert costs == {NEWEST: ExportCost(2, "NVIDIA H200", True, 2.0)}
    assert (costs[NEWEST].gpu_hours, costs[NEWEST].hardware) == (4.0, "2 x NVIDIA H200, 2 h")


@pytest.mark.parametrize(("unit", "hours"), [(BudgetUnit.HOURS, 0.498 * 24), (BudgetUnit.GPU_HOURS, 0.498 * 12)])
def test_an_earlier_export_cost_its_share_of_a_budget_of_time(unit: BudgetUnit, hours: float) -> None:
    budget = samples.run().budget.model_copy(update={"unit": unit})
    assert export_costs([_run(budget=budget)], [KEPT])[KEPT].hours == pytest.approx(hours)


def test_a_cost_that_is_not_known_is_not_told() -> None:
    steps = samples.run().budget.model_copy(update={"unit": BudgetUnit.STEPS})
    devices = DevicesRecord(t=1.0, step=5, charged_s=9.0, before=1, after=2)
    budget = BudgetRecord(
        t=1.0, step=5, sequences=40, charged_s=9.0, unit=BudgetUnit.HOURS, before=24.0, after=12.0, spent=1.0
    )
    for run in (
        _run(start=None),
        _run(start_from="/models/bert"),
        _run(budget=steps),
        _run(devices_change=devices),
        _run(budget_change=budget),
        _run(kept=[]),
    ):
        assert export_costs([run], [KEPT]) == {}


def test_hours_on_cpu_are_no_gpu_hours() -> None:
    assert ExportCost(1, "CPU", False, 0.1).gpu_hours is None
