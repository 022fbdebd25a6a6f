"""What `bertd plan` answers, as JSON and as text."""

from __future__ import annotations

import shutil
from pathlib import Path

from bertd.cli.commands.planning.finished_runs import find_finished_runs
from bertd.cli.commands.planning.money import (
    MEASURED_BUDGET,
    energy_of,
    hours_of_money,
    parse_money,
    require_price,
)
from bertd.cli.commands.submitting.resolve_recipe import expand_shorthands
from bertd.cli.output.plan_text import plan_text
from bertd.cli.output.tables import detect_output_style
from bertd.errors import ShardError
from bertd.records import Record
from bertd.run.data_mixture import read_mixture
from bertd.run.forecast.expect_loss import ExpectedLoss, expect_loss
from bertd.run.machine.disk_space import estimate_disk_need
from bertd.run.plan.datasheet_estimate import PlannedDevices, estimate_from_datasheet
from bertd.run.plan.measurements import Measurements
from bertd.run.plan.network_model import Network
from bertd.run.plan.plan_energy import PlanEnergy
from bertd.run.plan.plan_run import RunPlan, plan_run
from bertd.run.plan.plan_warnings import PlanWarning, find_warnings
from bertd.run.recipe.load import find_recipe, read_recipe
from bertd.run.recipe.mixture_text import find_data_sets
from bertd.run.recipe.schema import Recipe

_STOCK_VOCABULARY = 30_522
"""BERT's, where the data set is not here."""


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
    energy: PlanEnergy | None = None
    """None where what its devices draw is not known."""
    expected_loss: ExpectedLoss | None = None
    """Of the last validation; None if no run of the recipe has finished here."""
    mixture: list[str] = []
    """Share and epochs of each data set of a mixture, as text; empty for a single one."""


def make_plan_answer(
    recipe: Recipe,
    measured: Measurements,
    *,
    folder: Path | None,
    beside: Path | None = None,
    network: Network | None = None,
) -> PlanAnswer:
    """Plan the recipe's budget at this speed.

    Args:
        folder: on the disk that the run would be on; None if that is not on this machine.
        network: between its machines, if there are several.
        beside: a run's folder; the runs beside it say what loss to expect, instead of the daemon's.
    """
    plan = plan_run(recipe, measured, network=network)
    need = estimate_disk_need(recipe.checkpoint, num_parameters=measured.num_parameters)
    return PlanAnswer(
        name=recipe.run.name,
        plan=plan,
        total_s=plan.total_s,
        checkpoint_bytes=need.checkpoint_bytes,
        disk_bytes=need.total_bytes,
        warnings=find_warnings(recipe, plan, free_bytes=_free_bytes(folder), folder=folder or Path()),
        energy=energy_of(plan, num_devices=recipe.devices.num_ranks),
        expected_loss=expect_loss(find_finished_runs(recipe, beside=beside), recipe.schedule, steps=plan.steps),
        mixture=_mixture_lines(recipe, plan),
    )


def _mixture_lines(recipe: Recipe, plan: RunPlan) -> list[str]:
    data = recipe.data
    if len(data.weights) == 1:
        return []
    try:
        mixture = read_mixture(find_data_sets(data.shards))
    except ShardError:
        # It may be planned where its data is not.
        return []
    return mixture.lines(sequence_length=data.sequence_length, packing=data.packing, sequences=plan.sequences)


def plan_answer_text(recipe: Recipe, answer: PlanAnswer) -> str:
    """The answer for a person."""
    need = estimate_disk_need(recipe.checkpoint, num_parameters=answer.plan.measurements.num_parameters)
    style = detect_output_style()
    return plan_text(
        recipe,
        answer.plan,
        disk=need,
        warnings=answer.warnings,
        energy=answer.energy,
        expected_loss=answer.expected_loss,
        mixture=answer.mixture,
        style=style,
    )


def plan_by_datasheet(
    recipe: str,
    devices: PlannedDevices,
    *,
    settings: list[str],
    budget: str | None,
    network: Network | None = None,
) -> tuple[Recipe, PlanAnswer]:
    """Plan a recipe for GPUs that are not here, with its data set if that is."""
    on_gpus = [f"devices.count={devices.count}", 'devices.kind="gpu"']
    money = parse_money(budget)
    price = None if money is None else require_price(money)
    first = budget if money is None else MEASURED_BUDGET
    overrides = [*settings, *on_gpus, *expand_shorthands(budget=first, name=None)]
    planned = read_recipe(find_recipe(recipe), overrides=overrides)
    vocab_size, train_sequences = _STOCK_VOCABULARY, 0
    try:
        mixture = read_mixture(find_data_sets(planned.data.shards))
    except ShardError:
        pass
    else:
        data, vocab_size = planned.data, mixture.vocab_size
        train_sequences = mixture.count_sequences("train", sequence_length=data.sequence_length, packing=data.packing)
    measured = estimate_from_datasheet(planned, devices, vocab_size=vocab_size, train_sequences=train_sequences)
    if money is not None and price is not None:
        hours = hours_of_money(money, price, measured, num_devices=planned.devices.num_ranks)
        overrides = [*settings, *on_gpus, *expand_shorthands(budget=hours, name=None)]
        planned = read_recipe(find_recipe(recipe), overrides=overrides)
    return planned, make_plan_answer(planned, measured, folder=None, network=network)


def _free_bytes(folder: Path | None) -> int | None:
    """None if the folder is not on this machine."""
    if folder is None:
        return None
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None
