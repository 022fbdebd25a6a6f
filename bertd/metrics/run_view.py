"""The view of a run, from its recipe and the summary of its journal. Pure."""

from __future__ import annotations

from bertd.api.models import BudgetView, RunView
from bertd.metrics.journal_summary import JournalSummary
from bertd.records import JobState, PauseKind
from bertd.run.recipe.schema import Recipe


def build_run_view(
    recipe: Recipe,
    summary: JournalSummary,
    *,
    id: str,
    job_id: int,
    name: str,
    state: JobState,
    pause: PauseKind | None,
    reason: str,
    folder: str,
    budget: BudgetView,
) -> RunView:
    """The run with the newest record of each kind; without what the journal does not have, such as its energy."""
    return RunView(
        id=id,
        job_id=job_id,
        name=name,
        state=state,
        pause=pause,
        reason=reason,
        folder=folder,
        budget=budget,
        budget_change=summary.budget,
        devices_change=summary.devices,
        model=_model_line(recipe, summary),
        start_from=recipe.model.start_from,
        start=summary.start,
        startup=summary.startup,
        step=summary.step,
        validation=summary.validation,
        best_validation=summary.best_validation,
        forecast=summary.forecast,
        checkpoint=summary.checkpoint,
        export=summary.export,
        alert=summary.alert,
        end=summary.end,
        restarts=summary.restarts,
        steps_lost=summary.steps_lost,
    )


def _model_line(recipe: Recipe, summary: JournalSummary) -> str:
    size = f"{recipe.model.layers} layers x {recipe.model.width}"
    if summary.start is None:
        return size
    return f"{size}, {summary.start.num_parameters / 1e6:.1f}M parameters"
