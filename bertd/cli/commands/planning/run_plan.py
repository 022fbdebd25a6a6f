"""What `bertd plan` answers, as JSON and as text."""

from __future__ import annotations

import shutil
from pathlib import Path

from bertd.cli.output.plan_text import plan_text
from bertd.cli.output.tables import detect_output_style
from bertd.records import Record
from bertd.run.machine.disk_space import estimate_disk_need
from bertd.run.plan.measurements import Measurements
from bertd.run.plan.plan_run import RunPlan, plan_run
from bertd.run.plan.plan_warnings import PlanWarning, find_warnings
from bertd.run.recipe.schema import Recipe


class PlanAnswer(Record):
    """What `bertd plan --json` prints."""

    name: str
    plan: RunPlan
    total_s: float
    """Charged seconds of the whole run."""
    checkpoint_bytes: int
    disk_bytes: int
    """The most that its checkpoints and exports take."""
    warnings: list[PlanWarning]


def make_plan_answer(recipe: Recipe, measured: Measurements, *, folder: Path) -> PlanAnswer:
    """Plan the recipe's budget at this speed.

    Args:
        folder: on the disk that the run would be on.
    """
    plan = plan_run(recipe, measured)
    need = estimate_disk_need(recipe.checkpoint, num_parameters=measured.num_parameters)
    return PlanAnswer(
        name=recipe.run.name,
        plan=plan,
        total_s=plan.total_s,
        checkpoint_bytes=need.checkpoint_bytes,
        disk_bytes=need.total_bytes,
        warnings=find_warnings(recipe, plan, free_bytes=_free_bytes(folder), folder=folder),
    )


def plan_answer_text(recipe: Recipe, answer: PlanAnswer) -> str:
    """The answer for a person."""
    need = estimate_disk_need(recipe.checkpoint, num_parameters=answer.plan.measurements.num_parameters)
    style = detect_output_style()
    return plan_text(recipe, answer.plan, disk=need, warnings=answer.warnings, style=style)


def _free_bytes(folder: Path) -> int | None:
    """None if the folder is not on this machine."""
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None
