"""What a run would be, before it is queued: its size, its steps, its data, its disk space.

Steps of a budget of time need a speed, which only a run on this machine has: the newest one with the same model,
sequence length and number of devices. Without one they are not guessed.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from bertd.records import BudgetUnit, Record, StartRecord, StepRecord
from bertd.run.amounts.quantities import format_budget_amount, format_bytes, format_count
from bertd.run.budget import Budget
from bertd.run.data_mixture import read_mixture
from bertd.run.forecast.earlier_runs import find_earlier_runs
from bertd.run.forecast.expect_loss import ExpectedLoss, expect_loss, expected_loss_text
from bertd.run.machine.disk_space import estimate_disk_need, estimate_num_parameters
from bertd.run.recipe.schema import Recipe


class KnownRun(Protocol):
    """What a speed is taken from: a run as the daemon shows it."""

    @property
    def id(self) -> str: ...

    @property
    def folder(self) -> str: ...

    @property
    def model(self) -> str:
        """As text: 4 layers x 256, 4.9M parameters."""
        ...

    @property
    def start(self) -> StartRecord | None: ...

    @property
    def step(self) -> StepRecord | None:
        """The newest."""
        ...


class RunEstimate(Record):
    """What `bertd submit --dry-run` prints."""

    name: str
    model: str
    """As text, with the number of parameters but for biases and norms."""
    budget_unit: BudgetUnit
    budget_amount: float
    steps: int | None
    """Optimizer updates in the budget; None if the speed is not known."""
    speed_of: str | None
    """The run whose speed was taken for a budget of time."""
    epochs: float | None
    """Passes over the training data in the budget."""
    sequences_per_step: int
    train_sequences: int
    num_devices: int
    device_kind: str
    checkpoint_bytes: int
    disk_bytes: int
    """The most that its checkpoints and exports take."""
    mixture: list[str] = []
    """Share and epochs of each data set of a mixture, as text; empty for a single one."""
    expected_loss: ExpectedLoss | None = None
    """Of the last validation; None where the steps are not known, or no run of the recipe is over here."""

    @property
    def budget_text(self) -> str:
        """The budget with its unit."""
        return format_budget_amount(self.budget_unit, self.budget_amount)


def estimate_run(recipe: Recipe, *, known_runs: Sequence[KnownRun]) -> RunEstimate:
    """Estimate a run from its recipe, its data set's manifest and the speed of earlier runs.

    Raises:
        ShardError: the data set is missing or damaged.
    """
    mixture, data = read_mixture(recipe.data.weights), recipe.data
    num_parameters = estimate_num_parameters(recipe, vocab_size=mixture.vocab_size)
    train_sequences = mixture.count_sequences("train", sequence_length=data.sequence_length, packing=data.packing)
    alike = next((run for run in known_runs if _is_alike(run, recipe)), None) if recipe.granted.is_timed else None
    sequences = _budget_sequences(recipe.granted, recipe, speed_run=alike)
    steps = _budget_steps(recipe, sequences=sequences)
    need = estimate_disk_need(recipe.checkpoint, num_parameters=num_parameters)
    return RunEstimate(
        name=recipe.run.name,
        model=f"{recipe.model.layers} layers x {recipe.model.width}, about {num_parameters / 1e6:,.1f}M parameters",
        budget_unit=recipe.granted.unit,
        budget_amount=recipe.granted.amount,
        steps=steps,
        speed_of=None if alike is None else alike.id,
        epochs=None if sequences is None or not train_sequences else sequences / train_sequences,
        sequences_per_step=recipe.batch.sequences,
        train_sequences=train_sequences,
        num_devices=recipe.devices.num_ranks,
        device_kind=recipe.devices.kind,
        checkpoint_bytes=need.checkpoint_bytes,
        disk_bytes=need.total_bytes,
        mixture=mixture.lines(sequence_length=data.sequence_length, packing=data.packing, sequences=sequences),
        expected_loss=None if steps is None else _expected_loss(recipe, known_runs, steps=steps),
    )


def _expected_loss(recipe: Recipe, known_runs: Sequence[KnownRun], *, steps: int) -> ExpectedLoss | None:
    """By the runs of the same recipe that are over, whose folders this user may read."""
    folders = [Path(run.folder) for run in known_runs if _is_of_shape(run, recipe)]
    return expect_loss(find_earlier_runs(folders, recipe), recipe.schedule, steps=steps)


def _is_of_shape(run: KnownRun, recipe: Recipe) -> bool:
    return run.model.startswith(f"{recipe.model.layers} layers x {recipe.model.width},")


def _is_alike(run: KnownRun, recipe: Recipe) -> bool:
    """Whether a run's speed is what this recipe's would be."""
    return (
        run.step is not None
        and run.start is not None
        and _is_of_shape(run, recipe)
        and run.start.sequence_length == recipe.data.sequence_length
        and run.start.world_size == recipe.devices.num_ranks
        and (run.start.device == "cpu") == (recipe.devices.kind == "cpu")
    )


def _budget_sequences(granted: Budget, recipe: Recipe, *, speed_run: KnownRun | None) -> float | None:
    """Sequences in the whole budget."""
    match granted.unit:
        case BudgetUnit.STEPS:
            return granted.amount * recipe.batch.mean_sequences(0.0)
        case BudgetUnit.SEQUENCES:
            return granted.amount
        case BudgetUnit.HOURS | BudgetUnit.GPU_HOURS:
            if speed_run is None or speed_run.step is None or granted.total_s is None:
                return None
            return granted.total_s * speed_run.step.sequences_per_s


def _budget_steps(recipe: Recipe, *, sequences: float | None) -> int | None:
    """Steps in the whole budget; None if the number of sequences is not known."""
    if recipe.granted.unit is BudgetUnit.STEPS:
        return int(recipe.granted.amount)
    return None if sequences is None else int(sequences * recipe.batch.steps_per_sequence(0.0))


def estimate_text(estimate: RunEstimate) -> str:
    """The estimate for a person."""
    fields = [
        ("name", estimate.name),
        ("model", estimate.model),
        ("budget", estimate.budget_text),
        *main_fields(estimate),
        ("devices", f"{estimate.num_devices} x {estimate.device_kind}"),
    ]
    return "\n".join([*map(_line, fields), "nothing was queued; submit it without --dry-run"])


def main_lines(estimate: RunEstimate) -> list[str]:
    """What a person who queues it should see: steps, data, disk."""
    return [*map(_line, main_fields(estimate))]


def main_fields(estimate: RunEstimate) -> list[tuple[str, str]]:
    """Steps, data and disk, each with its name."""
    unknown = "not known: no run of this size has trained here yet; `bertd plan` measures"
    speed = f", at the speed of {estimate.speed_of}" if estimate.speed_of else ""
    epochs = "" if estimate.epochs is None else f", {estimate.epochs:.2f} epochs"
    steps = unknown if estimate.steps is None else f"{format_count(estimate.steps, 'step')}{epochs}{speed}"
    disk = f"{format_bytes(estimate.disk_bytes)} at most, a checkpoint {format_bytes(estimate.checkpoint_bytes)}"
    fields = [
        ("steps", f"{steps}; {format_count(estimate.sequences_per_step, 'sequence')} each"),
        ("data", "; ".join([format_count(estimate.train_sequences, "training sequence"), *estimate.mixture])),
        ("disk", disk),
    ]
    if estimate.expected_loss is not None:
        fields.append(("loss", expected_loss_text(estimate.expected_loss)))
    return fields


def _line(field: tuple[str, str]) -> str:
    name, text = field
    return f"{name.ljust(8)} {text}"
