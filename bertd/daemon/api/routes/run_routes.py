"""Routes of pretrainings: their views, curves, scores and budgets."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter, Request
from starlette.responses import Response

from bertd.api.models import RecipeView, RunView, ScoreView
from bertd.daemon.api.answers import (
    CHANGE_ONE,
    FIND,
    READ,
    answer_response,
    json_response,
    page_response,
)
from bertd.daemon.api.api_services import services_of
from bertd.daemon.api.read_request import IdempotencyKey, PageCursor, PageSize, read_mutation
from bertd.daemon.api.views import MAX_LISTED_JOBS, NEWEST
from bertd.records import BudgetRequest
from bertd.run.recipe.load import format_recipe

router = APIRouter()


@router.get("/runs", response_model=list[RunView], responses=READ)
async def get_runs(request: Request, cursor: PageCursor, limit: PageSize = MAX_LISTED_JOBS) -> Response:
    """Runs, newest first: one page."""
    runs = services_of(request).views.runs(before=cursor or NEWEST, limit=limit)
    return await page_response(request, runs, limit=limit, number=lambda run: run.job_id)


@router.get("/runs/{id}", response_model=RunView, responses=FIND)
async def get_run(request: Request, id: str) -> Response:
    """One run, by run id, job id or @."""
    services = services_of(request)
    return json_response(services.views.run_with_checkpoints(services.request_handler.run(id)))


@router.get("/runs/{id}/recipe", response_model=RecipeView, responses=FIND)
async def get_recipe(request: Request, id: str) -> Response:
    """The recipe of one run, with every value."""
    services = services_of(request)
    job = services.request_handler.run(id)
    return json_response(
        RecipeView(run_id=job.run_id, toml=format_recipe(services.run_metrics.recipe(Path(job.folder))))
    )


@router.get("/scores", response_model=list[ScoreView], responses=FIND)
async def get_scores(
    request: Request, cursor: PageCursor, run: str | None = None, limit: PageSize = MAX_LISTED_JOBS
) -> Response:
    """Scores of all finetunings, or of those of a run: one page, which ends with the last score of a job."""
    services = services_of(request)
    run_id = None if run is None else services.request_handler.run(run).run_id
    scores = services.views.scores(run_id=run_id, before=cursor or NEWEST, min_rows=limit)
    return await page_response(request, scores, limit=limit, number=lambda score: score.job_id)


@router.post("/runs/{id}/budget", status_code=202, response_model=RunView, responses=CHANGE_ONE)
async def post_budget(request: Request, id: str, order: BudgetRequest, key: IdempotencyKey = None) -> Response:
    """Extend or shrink a run's budget; if it trains, rank 0 applies the change between two steps."""
    mutation = await read_mutation(request, key)
    return answer_response(services_of(request).request_handler.set_budget(order, id, mutation))
