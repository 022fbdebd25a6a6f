"""Routes of the queue's jobs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Body, Query, Request
from pydantic import ConfigDict, Field
from starlette.responses import Response

from bertd.api.models import (
    ChangeRequest,
    CloneRequest,
    GridEstimateView,
    JobView,
    LendEstimateView,
    LendRequest,
    LogView,
    MoveRequest,
    Priority,
    Submit,
    SubmitGrid,
)
from bertd.daemon.api.answers import (
    CHANGE_ONE,
    FIND,
    READ,
    answer_response,
    error_statuses,
    json_list_response,
    json_response,
    page_response,
)
from bertd.daemon.api.api_services import services_of
from bertd.daemon.api.job_log import MAX_PAGE_BYTES, find_log_bytes, read_log_page, require_log
from bertd.daemon.api.read_request import (
    IdempotencyKey,
    JobFilterQuery,
    PageCursor,
    PageSize,
    Since,
    Until,
    read_mutation,
)
from bertd.daemon.api.views import MAX_LISTED_JOBS
from bertd.errors import BertdError
from bertd.jobs.store.audit import Peer
from bertd.jobs.store.lifecycle import JobAction
from bertd.records import Record
from bertd.run.paths import JobPaths

router = APIRouter()


class PriorityBody(Record):
    """Body of POST /v1/jobs/{id}/priority."""

    model_config = ConfigDict(defer_build=False)  # as BudgetRequest

    priority: Priority
    """Higher is served first."""


class PauseBody(Record):
    """Body of POST /v1/jobs/{id}/pause, which may be left out."""

    hot: bool = False
    """Suspend the ranks between two steps and keep their memory."""


class ResumeBody(Record):
    """Body of POST /v1/jobs/{id}/resume, which may be left out."""

    devices: Annotated[int, Field(ge=1, le=65_536)] | None = None
    """Number of devices to continue on; null for the same number as before."""


@router.get("/jobs", response_model=list[JobView], responses=READ)
async def get_jobs(
    request: Request, cursor: PageCursor, where: JobFilterQuery, limit: PageSize = MAX_LISTED_JOBS
) -> Response:
    """Jobs: a page of those asked for, newest first.

    Without a filter and without `after` those that matter most: with devices, waiting, paused, held, then over.
    """
    jobs = services_of(request).views.jobs(before=cursor, limit=limit, where=where)
    if cursor is None and not where.excludes_any:
        return await json_list_response(jobs)
    return await page_response(request, jobs, limit=limit, number=lambda job: job.id)


@router.get("/jobs/{id}", response_model=JobView, responses=FIND)
async def get_job(request: Request, id: str) -> Response:
    """One job, by number, run id or @."""
    services = services_of(request)
    return json_response(services.views.job(services.request_handler.job(id)))


@router.get("/jobs/{id}/would-start", response_model=list[JobView], responses=FIND)
async def get_would_start(request: Request, id: str) -> Response:
    """The jobs that would start at once if this one gave its devices back."""
    services = services_of(request)
    return await json_list_response(services.views.would_start(services.request_handler.job(id)))


@router.get("/jobs/{id}/log", response_model=LogView, responses=FIND | error_statuses(409))
async def get_log(
    request: Request,
    id: str,
    offset: Annotated[int | None, Query(description="Byte to begin at; a negative one counts from the end.")] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE_BYTES, description="Bytes at most.")] = 64 << 10,
    since: Since = None,
    until: Until = None,
) -> Response:
    """A piece of a job's log: from a byte on, or what was written in a time."""
    job = services_of(request).request_handler.job(id)
    paths, end = JobPaths(Path(job.folder)), None
    require_log(paths)
    if since is not None or until is not None:
        begin, end = find_log_bytes(paths, since_t=since, until_t=until)
        offset = begin if offset is None else offset
    return json_response(read_log_page(paths.log, offset=offset or 0, limit=limit, end=end))


@router.post("/jobs", status_code=201, response_model=JobView, responses=CHANGE_ONE)
async def post_job(request: Request, order: Annotated[Submit, Body()], key: IdempotencyKey = None) -> Response:
    """Submit a pretraining, a finetuning, a grid of finetunings or a command."""
    mutation = await read_mutation(request, key)
    handler = services_of(request).request_handler
    problem = await handler.find_problem(order, mutation.peer)
    return answer_response(handler.submit(order, mutation, problem=problem))


@router.post("/grids/estimate", response_model=GridEstimateView, responses=CHANGE_ONE)
async def post_grid_estimate(request: Request, order: Annotated[SubmitGrid, Body()]) -> Response:
    """What a grid would take; nothing is queued."""
    peer: Peer = request.state.peer
    handler = services_of(request).request_handler
    problem = await handler.find_problem(order, peer)
    return json_response(handler.estimate_grid(order, peer, problem=problem))


@router.post("/lends/estimate", response_model=LendEstimateView, responses=CHANGE_ONE)
async def post_lend_estimate(request: Request, order: Annotated[LendRequest, Body()]) -> Response:
    """What a finetuning or a grid with `now` would pause, and what that costs; nothing is queued."""
    peer: Peer = request.state.peer
    handler = services_of(request).request_handler
    problem = await handler.find_problem(order, peer)
    return json_response(handler.estimate_lend(order, peer, problem=problem))


@router.post("/jobs/{id}/priority", status_code=202, response_model=JobView, responses=CHANGE_ONE)
async def post_priority(request: Request, id: str, body: PriorityBody, key: IdempotencyKey = None) -> Response:
    """Change a waiting job's place in the queue."""
    mutation = await read_mutation(request, key)
    return answer_response(services_of(request).request_handler.prioritize(id, body.priority, mutation))


@router.post("/jobs/{id}/change", status_code=202, response_model=JobView, responses=CHANGE_ONE)
async def post_change(request: Request, id: str, body: ChangeRequest, key: IdempotencyKey = None) -> Response:
    """Change when a job may start and run, or its group."""
    mutation = await read_mutation(request, key)
    return answer_response(services_of(request).request_handler.change_conditions(id, body, mutation))


@router.post("/jobs/{id}/clone", status_code=201, response_model=JobView, responses=CHANGE_ONE)
async def post_clone(request: Request, id: str, body: CloneRequest, key: IdempotencyKey = None) -> Response:
    """Queue a job like another one, with changes."""
    mutation = await read_mutation(request, key)
    handler = services_of(request).request_handler
    try:
        order = handler.make_clone(id, body, mutation.peer)
    except BertdError as error:
        return answer_response(handler.refuse(mutation, error))
    problem = await handler.find_problem(order, mutation.peer)
    return answer_response(handler.submit(order, mutation, problem=problem))


@router.post("/jobs/{id}/move", status_code=202, response_model=JobView, responses=CHANGE_ONE)
async def post_move(request: Request, id: str, body: MoveRequest, key: IdempotencyKey = None) -> Response:
    """Move a waiting job in the queue: before or after another, to its head or its end."""
    mutation = await read_mutation(request, key)
    return answer_response(services_of(request).request_handler.move(id, body, mutation))


@router.post("/jobs/{id}/pause", status_code=202, response_model=JobView, responses=CHANGE_ONE)
async def post_pause(request: Request, id: str, body: PauseBody | None = None, key: IdempotencyKey = None) -> Response:
    """Pause a pretraining: with a checkpoint, its devices freed; or hot, its memory kept."""
    mutation, hot = await read_mutation(request, key), body is not None and body.hot
    return answer_response(services_of(request).request_handler.apply_action(JobAction.PAUSE, id, mutation, hot=hot))


@router.post("/jobs/{id}/resume", status_code=202, response_model=JobView, responses=CHANGE_ONE)
async def post_resume(
    request: Request, id: str, body: ResumeBody | None = None, key: IdempotencyKey = None
) -> Response:
    """Put a job back into the queue; a run also with another number of devices."""
    request_handler, mutation = services_of(request).request_handler, await read_mutation(request, key)
    if body is None or body.devices is None:
        return answer_response(request_handler.apply_action(JobAction.RESUME, id, mutation))
    return answer_response(request_handler.resume_on(body.devices, id, mutation))


@router.post("/jobs/{id}/{order}", status_code=202, response_model=JobView, responses=CHANGE_ONE)
async def post_order(request: Request, id: str, order: JobAction, key: IdempotencyKey = None) -> Response:
    """Pause, resume, checkpoint, stop, hold or release a job."""
    mutation = await read_mutation(request, key)
    return answer_response(services_of(request).request_handler.apply_action(order, id, mutation))
