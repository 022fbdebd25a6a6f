"""Runs of the simulated machine that are over, to compare with: their views, recipes and curves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from bertd.api.models import RecipeView, RunView, SeriesAxis, SeriesView
from bertd.errors import UnknownJobError
from bertd.records import EndRecord, JobState
from tui.simulated import curves, glue_views, views
from tui.simulated.box import BUDGET_S, RUN_ID, STEPS_PER_S, SimulatedBox

_POINTS = 240
_TOKENS_PER_STEP = 4096 * curves.SEQUENCE_LENGTH


@dataclass(frozen=True)
class _PastRun:
    """What is other than in the run that trains."""

    job_id: int
    name: str
    overrides: tuple[str, ...]
    worse_by: float
    """Nats, from a tenth of the budget on."""

    @property
    def id(self) -> str:
        return f"{self.job_id}-{self.name}"


_PAST = (
    _PastRun(9, "lr-1e-3", ("optimizer.peak_lr=1e-3",), 0.11),
    _PastRun(7, "no-warmup", ("schedule.warmup=0.0", "run.seed=7"), 0.26),
    _PastRun(4, "full-packing", ('data.packing="full"', "batch.sequences=2048"), 0.05),
)


def runs(box: SimulatedBox) -> list[RunView]:
    """All runs, newest first."""
    return [views.run(box), *(_view(box, past) for past in _PAST)]


def run(box: SimulatedBox, run_id: str) -> RunView:
    """One run.

    Raises:
        UnknownJobError: there is none of that id.
    """
    found = [each for each in runs(box) if each.id == run_id]
    if not found:
        raise UnknownJobError(f"{run_id}: no such run; `bertd jobs` lists them")
    return found[0].model_copy(update={"kept": glue_views.kept()}) if run_id == RUN_ID else found[0]


def recipe(run_id: str) -> RecipeView:
    """The recipe of a run."""
    # Not before the first frame, as in the real feed: its import takes a tenth of a second.
    from bertd.run.recipe.load import find_recipe, format_recipe, parse_recipe

    past = next((past for past in _PAST if past.id == run_id), None)
    name, overrides = (past.name, past.overrides) if past is not None else (RUN_ID.partition("-")[2], ())
    text = find_recipe("titan-v-8").read_text(encoding="utf-8")
    resolved = parse_recipe(
        text, name="titan-v-8", overrides=[*overrides, f'run.name="{name}"', "data.shards=/data/wiki-books"]
    )
    return RecipeView(run_id=run_id, toml=format_recipe(resolved))


def several_series(box: SimulatedBox, run_ids: Sequence[str], *, x: SeriesAxis) -> list[SeriesView]:
    """The loss curves of these runs on one axis."""
    return [_series(box, run_id, x) for run_id in run_ids]


def _view(box: SimulatedBox, past: _PastRun) -> RunView:
    live = views.run(box)
    loss = curves.validation_loss(1.0) + past.worse_by
    step = int(BUDGET_S * STEPS_PER_S)
    ended_t = box.epoch - (15 - past.job_id) * 90_000.0
    assert live.validation is not None
    return live.model_copy(
        update={
            "id": past.id,
            "job_id": past.job_id,
            "name": past.name,
            "state": JobState.DONE,
            "pause": None,
            "reason": "budget spent",
            "folder": f"/var/lib/bertd/runs/{past.id}",
            "budget": live.budget.model_copy(
                update={"progress": 1.0, "spent": live.budget.amount, "charged_s": BUDGET_S, "remaining_s": 0.0}
            ),
            "validation": live.validation.model_copy(
                update={"loss": loss, "step": step, "progress": 1.0, "t": ended_t, "charged_s": BUDGET_S}
            ),
            "best_validation": loss,
            "end": EndRecord(
                t=ended_t,
                step=step,
                sequences=step * 4096,
                charged_s=BUDGET_S,
                reason="budget",
                detail="budget spent",
                lr=0.0,
                validation_loss=loss,
                export=None,
            ),
        }
    )


def _series(box: SimulatedBox, run_id: str, x: SeriesAxis) -> SeriesView:
    past = next((each for each in _PAST if each.id == run_id), None)
    if past is None and run_id != RUN_ID:
        raise UnknownJobError(f"{run_id}: no such run; `bertd jobs` lists them")
    worse_by = past.worse_by if past is not None else 0.0
    progress = 1.0 if past is not None else box.progress
    known = curves.series(run_id, progress=progress, columns=_POINTS)
    scale = {
        "progress": 1.0,
        "charged_s": BUDGET_S,
        "wall_s": BUDGET_S,
        "step": BUDGET_S * STEPS_PER_S,
        "sequences": BUDGET_S * STEPS_PER_S * 4096,
        "tokens": BUDGET_S * STEPS_PER_S * _TOKENS_PER_STEP,
    }[x]
    columns = {
        name: [(at * scale, y + worse_by * (1 - math.exp(-at / 0.1))) for at, y in known.columns[name]]
        for name in ("loss", "validation")
    }
    return SeriesView(run_id=run_id, x=x, columns=columns)
