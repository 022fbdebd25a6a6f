"""Routes of pretrainings: their views, curves, scores and budgets."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from bertd.api.models import RunView, ScoreView, SeriesView
from bertd.daemon.api.answers import (
    CHANGE_ONE,
    FIND,
    READ,
    answer_response,
    error_statuses,
    json_response,
    page_response,
    problem_response,
)
from bertd.daemon.api.api_services import services_of
from bertd.daemon.api.read_request import IdempotencyKey, PageCursor, PageSize, read_mutation
from bertd.daemon.api.views import MAX_LISTED_JOBS, NEWEST
from bertd.daemon.metrics.curves import COLUMNS, Axis
from bertd.records import BudgetRequest

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


@router.get("/runs/{id}/series", response_model=SeriesView, responses=FIND | error_statuses(503))
async def get_series(
    request: Request,
    id: str,
    x: Axis = "progress",
    points: Annotated[int, Query(ge=2, le=4000)] = 240,
    columns: str = ",".join(COLUMNS),
) -> Response:
    """Curves, thinned to about `points` a column."""
    services = services_of(request)
    requested_columns = [column.strip() for column in columns.split(",") if column.strip()]
    if unknown := [column for column in requested_columns if column not in COLUMNS]:
        return problem_response(
            422, "ClientError", f"columns: {', '.join(unknown)}: unknown; known: {', '.join(COLUMNS)}"
        )
    job = services.request_handler.run(id)
    curves = await services.run_metrics.curves(job)
    return json_response(
        SeriesView(run_id=job.run_id, x=x, columns=curves.read(columns=requested_columns, axis=x, points=points))
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
