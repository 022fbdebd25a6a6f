"""Routes of curves: of one run, and of several on the same axis."""

from __future__ import annotations

import math
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

from bertd.api.models import SeriesAxis, SeriesView
from bertd.daemon.api.answers import FIND, error_statuses, json_list_response, json_response
from bertd.daemon.api.api_services import ApiServices, services_of
from bertd.daemon.metrics.series import SeriesRequest
from bertd.jobs.store.queue import Job
from bertd.metrics.curves import COLUMNS

router = APIRouter()

MAX_RUNS = 16
"""In one answer."""
_RESPONSES = FIND | error_statuses(503)


def _read_series_request(
    x: Annotated[SeriesAxis, Query(description="What the pairs begin with.")] = "progress",
    points: Annotated[int, Query(ge=2, le=4000, description="About this many for each column.")] = 240,
    columns: Annotated[str, Query(description=f"Of {', '.join(COLUMNS)}, with commas between.")] = ",".join(COLUMNS),
    low: Annotated[
        float | None, Query(alias="from", allow_inf_nan=False, description="Only points at this x or above.")
    ] = None,
    high: Annotated[
        float | None, Query(alias="to", allow_inf_nan=False, description="Only points at this x or below.")
    ] = None,
    smooth: Annotated[
        float | None,
        Query(gt=0, allow_inf_nan=False, description="Give smoothed columns, too, with this half-life in units of x."),
    ] = None,
    positions: Annotated[bool, Query(description="Give the run's positions on all axes, too.")] = False,
) -> SeriesRequest:
    chosen = [column.strip() for column in columns.split(",") if column.strip()]
    if unknown := [column for column in chosen if column not in COLUMNS]:
        raise HTTPException(422, f"columns: {', '.join(unknown)}: unknown; known: {', '.join(COLUMNS)}")
    low, high = -math.inf if low is None else low, math.inf if high is None else high
    if low > high:
        raise HTTPException(422, f"from, to: {low:g} is above {high:g}; exchange them")
    return SeriesRequest(
        columns=chosen, axis=x, points=points, low=low, high=high, half_life=smooth, has_positions=positions
    )


SeriesQuery = Annotated[SeriesRequest, Depends(_read_series_request)]


@router.get("/runs/{id}/series", response_model=SeriesView, responses=_RESPONSES)
async def get_series(request: Request, id: str, what: SeriesQuery) -> Response:
    """Curves of one run, thinned; a narrow range is read again in full resolution."""
    services = services_of(request)
    return json_response(await _read_view(services, services.request_handler.run(id), what))


@router.get("/series", response_model=list[SeriesView], responses=_RESPONSES)
async def get_several_series(
    request: Request,
    what: SeriesQuery,
    run: Annotated[list[str], Query(min_length=1, max_length=MAX_RUNS, description="Run ids, names or job numbers.")],
) -> Response:
    """Curves of several runs, in the order of their names in the request."""
    services = services_of(request)
    jobs = [services.request_handler.run(name) for name in run]
    return await json_list_response([await _read_view(services, job, what) for job in jobs])


async def _read_view(services: ApiServices, job: Job, what: SeriesRequest) -> SeriesView:
    series = await services.run_metrics.series(job, what)
    return SeriesView(
        run_id=job.run_id,
        x=what.axis,
        columns=series.columns,
        smoothed=series.smoothed,
        records_per_bin=series.records_per_bin,
        positions=series.positions,
    )
