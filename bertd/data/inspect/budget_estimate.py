"""How many sequences a recipe's budget buys, which for hours needs a speed: one that is named, or a run's own."""

from __future__ import annotations

from dataclasses import dataclass

from bertd.errors import RunFolderError
from bertd.records import StepRecord
from bertd.run.journal import read_journal
from bertd.run.paths import RunPaths, StatePaths, default_state_dir, expand_user
from bertd.run.quantities import format_budget_amount
from bertd.run.recipe.schema import Recipe


@dataclass(frozen=True)
class BudgetEstimate:
    """What a budget is good for."""

    budget: str
    """As people say it."""
    sequences: float | None
    """None for hours without a speed."""
    total_s: float | None
    """None for a budget that is counted in work."""
    speed: str | None
    """The speed that was reckoned with, and whence it is; None where none was needed or known."""


def find_run(name: str) -> RunPaths:
    """A run's folder, by its path or its id.

    Raises:
        RunFolderError: there is no such run.
    """
    for paths in (RunPaths(expand_user(name).absolute()), StatePaths(default_state_dir()).run(name)):
        if paths.recipe.is_file():
            return paths
    raise RunFolderError(
        f"{name}: no run folder, nor the id of a run below {default_state_dir()}; bertd jobs lists them"
    )


def measure_run_speed(paths: RunPaths) -> float:
    """Sequences a charged second over a whole run, its validations and saves included.

    Raises:
        RunFolderError: the run has made no step that could be measured.
    """
    steps = [record for record in read_journal(paths.journal) if isinstance(record, StepRecord)]
    if not steps:
        raise RunFolderError(f"{paths.journal}: holds no step to take a speed from; give --sequences-per-s")
    first, last = steps[0], steps[-1]
    if last.charged_s <= first.charged_s or last.sequences <= first.sequences:
        return last.sequences_per_s
    return (last.sequences - first.sequences) / (last.charged_s - first.charged_s)


def estimate_budget(recipe: Recipe, *, sequences_per_s: float | None, speed_source: str) -> BudgetEstimate:
    """Sequences of a budget.

    Args:
        whence: where the speed is from, for people.
    """
    granted = recipe.granted
    budget_text = format_budget_amount(granted.unit, granted.amount)
    if granted.total_s is None:
        sequences_per_unit = recipe.batch.mean_sequences(0.0) if recipe.budget.steps is not None else 1
        return BudgetEstimate(
            budget=budget_text, sequences=granted.amount * sequences_per_unit, total_s=None, speed=None
        )
    if sequences_per_s is None:
        return BudgetEstimate(budget=budget_text, sequences=None, total_s=granted.total_s, speed=None)
    return BudgetEstimate(
        budget=budget_text,
        sequences=sequences_per_s * granted.total_s,
        total_s=granted.total_s,
        speed=f"{sequences_per_s:,.1f} sequences/s ({speed_source})",
    )
