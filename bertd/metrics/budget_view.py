"""A run's budget: what is granted by now, spent and left. Pure."""

from __future__ import annotations

from bertd.api.models import BudgetView
from bertd.metrics.journal_summary import JournalSummary
from bertd.records import BudgetUnit
from bertd.run.budget import Budget, find_time_left
from bertd.run.recipe.schema import Recipe


def current_budget(recipe: Recipe, summary: JournalSummary) -> Budget:
    """The recipe's budget with the changes in the run's journal."""
    return summary.progress.budget_plan(recipe.granted).granted


def build_budget_view(
    recipe: Recipe, summary: JournalSummary, *, charged_s: float, is_over: bool = False
) -> BudgetView:
    """What is spent and, from the reserve and the speed of the last minute, what is left.

    Args:
        is_over: it will not train again, so nothing is left, whatever it has spent.
    """
    granted = current_budget(recipe, summary)
    step, sequences = summary.progress.step, summary.progress.sequences
    spent = granted.spent(charged_s=charged_s, steps=step, sequences=sequences)
    left = max(0.0, granted.amount - spent)
    speed = summary.sequences_per_s
    progress = min(1.0, spent / granted.amount)
    steps_per_s = speed * recipe.batch.steps_per_sequence(progress) if speed else None
    remaining_s: float | None = None
    reserve_s: float | None = None
    projected_step: int | None = None
    time_left = find_time_left(granted, charged_s=charged_s, reserve_s=summary.progress.reserve_s or 0.0)
    if time_left is not None:
        remaining_s = max(0.0, time_left.training_s)
        reserve_s = None if summary.progress.reserve_s is None else time_left.reserve_s
        projected_step = step + int(remaining_s * steps_per_s) if steps_per_s else None
    elif granted.unit is BudgetUnit.STEPS:
        remaining_s = left * recipe.batch.mean_sequences(progress) / speed if speed else None
        projected_step = int(granted.amount)
    elif speed:
        remaining_s = left / speed
        projected_step = step + int(left * recipe.batch.steps_per_sequence(progress))
    if is_over or (summary.end is not None and summary.end.reason != "failed"):
        remaining_s, reserve_s, projected_step = 0.0, None, step
    return BudgetView(
        unit=granted.unit,
        amount=granted.amount,
        spent=spent,
        progress=granted.progress(charged_s=charged_s, steps=step, sequences=sequences),
        charged_s=charged_s,
        remaining_s=remaining_s,
        reserve_s=reserve_s,
        projected_step=projected_step,
    )
