"""Estimate how many sequences a budget covers. Time budgets need a speed: given, or measured in an earlier run."""

from __future__ import annotations

from dataclasses import dataclass

from bertd.errors import RunFolderError
from bertd.run.amounts.quantities import format_budget_amount
from bertd.run.journal_digest import read_digest
from bertd.run.paths import RunPaths, StatePaths, default_state_dir, expand_user
from bertd.run.recipe.schema import Recipe


@dataclass(frozen=True)
class BudgetEstimate:
    """The sequences that a budget covers."""

    budget: str
    """As text."""
    sequences: float | None
    """None for a time budget without a speed."""
    total_s: float | None
    """None for a budget of steps or sequences."""
    speed: str | None
    """The speed used and its source, as text; None where none was needed or known."""


def find_run(name: str) -> RunPaths:
    """A run's folder, by its path or its id.

    Raises:
        RunFolderError: there is no such run.
    """
    for paths in (RunPaths(expand_user(name).absolute()), StatePaths(default_state_dir()).run(name)):
        if paths.recipe.is_file():
            return paths
    raise RunFolderError(
        f"{name}: neither a run folder nor the id of a run below {default_state_dir()}; bertd jobs lists them"
    )


def measure_run_speed(paths: RunPaths) -> float:
    """Sequences per charged second over a whole run, validations and saves included.

    Raises:
        RunFolderError: the run has made no step that could be measured.
    """
    digest = read_digest(paths.journal)
    first, last = digest.first_step, digest.last_step
    if first is None or last is None:
        raise RunFolderError(f"{paths.journal}: has no step to measure a speed from; give --sequences-per-s")
    if last.charged_s <= first.charged_s or last.sequences <= first.sequences:
        return last.sequences_per_s
    return (last.sequences - first.sequences) / (last.charged_s - first.charged_s)


def estimate_budget(recipe: Recipe, *, sequences_per_s: float | None, speed_source: str) -> BudgetEstimate:
    """Estimate the sequences that a budget covers.

    Args:
        speed_source: where the speed comes from, as text.
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
