"""The routes of the socket API. Thin: each finds the daemon's parts in the application's state and calls them.

All handlers run on the event loop's thread, which is the database's only one. Answers are JSON made by the records
themselves, because a loss may be NaN, which FastAPI's own encoder refuses.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Body, FastAPI, Header, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse, StreamingResponse

import bertd
from bertd.api.models import (
    DeviceView,
    ErrorView,
    GridEstimateView,
    JobView,
    LogView,
    Priority,
    RunView,
    ScoreView,
    SeriesView,
    StatusView,
    Submit,
    SubmitGrid,
    VersionView,
)
from bertd.api.sweep_models import SubmitSweep, SweepView
from bertd.daemon.api.event_stream import EventHub, EventResponse
from bertd.daemon.api.job_log import MAX_PAGE_BYTES, read_log_page
from bertd.daemon.api.limits import BodyLimit
from bertd.daemon.api.prometheus import CONTENT_TYPE, prometheus_text
from bertd.daemon.api.requests import Mutation, RequestHandler, http_status
from bertd.daemon.api.views import MAX_LISTED_JOBS, NEWEST, Views
from bertd.daemon.metrics.curves import COLUMNS, Axis
from bertd.daemon.metrics.run_metrics import RunMetrics
from bertd.errors import BertdError
from bertd.jobs.store.audit import Answer, Peer
from bertd.jobs.store.lifecycle import JobAction
from bertd.jobs.store.queue import Queue
from bertd.records import BudgetRequest, Record
from bertd.run.paths import JobPaths
from bertd.terminal_text import shorten
from bertd.validation_text import describe_problem

logger = logging.getLogger(__name__)

_LOOPS_UNTIL_EOF = 4
"""Rounds of the event loop in which it notices that a connection, whose request it has read, is closed."""
IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=200,
        description="A request that is repeated with the same key and content is carried out once.",
    ),
]
_EVENT_ID = re.compile(r"[0-9]{1,19}")
Before = Annotated[int, Query(ge=1, le=NEWEST)]
"""Number of the last page's last job; without it the first page."""
PageSize = Annotated[int, Query(ge=1, le=MAX_LISTED_JOBS)]


_SLICE_ROWS = 10


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


@dataclass(frozen=True)
class ApiServices:
    """The parts of the daemon that the handlers call."""

    request_handler: RequestHandler
    views: Views
    queue: Queue
    run_metrics: RunMetrics
    hub: EventHub
    shut_down: Callable[[], None]


def _services(request: Request) -> ApiServices:
    services = request.app.state.services
    assert isinstance(services, ApiServices)
    return services


def _json(value: Record, *, status: int = 200) -> Response:
    return Response(value.model_dump_json(), status_code=status, media_type="application/json")


async def _json_list(values: Iterable[Record]) -> Response:
    """A list that may be long: other requests are served between its slices."""
    rows: list[str] = []
    for value in values:
        rows.append(value.model_dump_json())
        if len(rows) % _SLICE_ROWS == 0:
            await asyncio.sleep(0)
    return Response(f"[{','.join(rows)}]", media_type="application/json")


def _errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """For OpenAPI: what a refusal with one of these statuses means and looks like."""
    return {status: {"model": ErrorView, "description": _MEANINGS[status]} for status in statuses}


def _text(media_type: str) -> dict[int | str, dict[str, Any]]:
    """For OpenAPI: a text of this type, or JSON that says what was wrong with the request."""
    refusal = {"content": {"application/json": {"schema": ErrorView.model_json_schema()}}}
    text: dict[str, Any] = {"content": {media_type: {"schema": {"type": "string"}}}}
    answers: dict[int | str, dict[str, Any]] = {200: text}
    for status in (400, 422):
        answers[status] = refusal | {"description": _MEANINGS[status]}
    return answers


_MEANINGS = {
    400: "The request is not HTTP or not JSON.",
    403: "The peer may read but not change.",
    404: "There is no such job, run, device or path.",
    409: "The job's state does not allow it.",
    413: "The body is larger than any of this API.",
    415: "The body is not declared as application/json.",
    422: "A parameter, or what the body asks for, is wrong.",
    503: "The daemon cannot do it at the moment: it ends, or it is still reading.",
    507: "The disk refused.",
}
_READ, _FIND = _errors(400, 422), _errors(400, 404, 422)
_CHANGE = _errors(400, 403, 409, 413, 415, 422, 503, 507)
_CHANGE_JOB = _errors(404) | _CHANGE

router = APIRouter(prefix="/v1")


@router.get("/version", response_model=VersionView, responses=_READ)
async def get_version(request: Request) -> Response:
    """Version, pid and state folder of the daemon."""
    return _json(_services(request).views.version)


@router.get("/status", response_model=StatusView, responses=_READ)
async def get_status(request: Request) -> Response:
    """Runs, jobs, devices and the newest events."""
    return _json(_services(request).views.status())


@router.get("/runs", response_model=list[RunView], responses=_READ)
async def get_runs(request: Request, before: Before = NEWEST, limit: PageSize = MAX_LISTED_JOBS) -> Response:
    """Runs, newest first: one page, of those whose job has a number below `before`."""
    return await _json_list(_services(request).views.runs(before=before, limit=limit))


@router.get("/runs/{id}", response_model=RunView, responses=_FIND)
async def get_run(request: Request, id: str) -> Response:
    """One run, by run id, job id or @."""
    services = _services(request)
    return _json(services.views.run_with_checkpoints(services.request_handler.run(id)))


@router.get("/runs/{id}/series", response_model=SeriesView, responses=_FIND | _errors(503))
async def get_series(
    request: Request,
    id: str,
    x: Axis = "progress",
    points: Annotated[int, Query(ge=2, le=4000)] = 240,
    columns: str = ",".join(COLUMNS),
) -> Response:
    """Curves, thinned to about `points` a column."""
    services = _services(request)
    requested_columns = [column.strip() for column in columns.split(",") if column.strip()]
    if unknown := [column for column in requested_columns if column not in COLUMNS]:
        return _error_response(
            422, "ClientError", f"columns: {', '.join(unknown)}: unknown; known: {', '.join(COLUMNS)}"
        )
    job = services.request_handler.run(id)
    curves = await services.run_metrics.curves(job)
    return _json(
        SeriesView(run_id=job.run_id, x=x, columns=curves.read(columns=requested_columns, axis=x, points=points))
    )


@router.get("/jobs", response_model=list[JobView], responses=_READ)
async def get_jobs(request: Request, before: Before | None = None, limit: PageSize = MAX_LISTED_JOBS) -> Response:
    """Jobs, newest first, with those that are over last; with `before` a page of all jobs with a lower number."""
    return await _json_list(_services(request).views.jobs(before=before, limit=limit))


@router.get("/jobs/{id}", response_model=JobView, responses=_FIND)
async def get_job(request: Request, id: str) -> Response:
    """One job, by number, run id or @."""
    services = _services(request)
    return _json(services.views.job(services.request_handler.job(id)))


@router.get("/jobs/{id}/log", response_model=LogView, responses=_FIND)
async def get_log(
    request: Request, id: str, offset: int = 0, limit: Annotated[int, Query(ge=1, le=MAX_PAGE_BYTES)] = 64 << 10
) -> Response:
    """A piece of a job's log."""
    job = _services(request).request_handler.job(id)
    return _json(read_log_page(JobPaths(Path(job.folder)).log, offset=offset, limit=limit))


@router.get("/devices", response_model=list[DeviceView], responses=_READ)
async def get_devices(request: Request) -> Response:
    """The GPUs, or the CPU."""
    return await _json_list(_services(request).views.devices())


@router.post("/devices/{id}/drain", status_code=202, response_model=DeviceView, responses=_CHANGE_JOB)
async def post_drain(request: Request, id: str, key: IdempotencyKey = None) -> Response:
    """Start no more jobs on a device; those that have it keep it. By number, UUID or the beginning of one, or cpu."""
    mutation = await _read_mutation(request, key)
    return _send(_services(request).request_handler.set_drained(id, mutation, is_drained=True))


@router.post("/devices/{id}/undrain", status_code=202, response_model=DeviceView, responses=_CHANGE_JOB)
async def post_undrain(request: Request, id: str, key: IdempotencyKey = None) -> Response:
    """Start jobs on a device again."""
    mutation = await _read_mutation(request, key)
    return _send(_services(request).request_handler.set_drained(id, mutation, is_drained=False))


@router.get("/scores", response_model=list[ScoreView], responses=_FIND)
async def get_scores(
    request: Request, run: str | None = None, before: Before = NEWEST, limit: PageSize = MAX_LISTED_JOBS
) -> Response:
    """Scores of all finetunings, or of those of a run: one page, of jobs with a number below `before`."""
    services = _services(request)
    run_id = None if run is None else services.request_handler.run(run).run_id
    return await _json_list(services.views.scores(run_id=run_id, before=before, min_rows=limit))


@router.get("/sweeps", response_model=list[SweepView], responses=_READ)
async def get_sweeps(request: Request) -> Response:
    """All sweeps, newest first, without their settings."""
    return await _json_list(_services(request).request_handler.sweeps.views.sweeps())


@router.get("/sweeps/{id}", response_model=SweepView, responses=_FIND)
async def get_sweep(request: Request, id: str) -> Response:
    """One sweep with its settings, by number, name or @, which is the newest."""
    sweeps = _services(request).request_handler.sweeps
    return _json(sweeps.views.sweep(sweeps.table.get(id)))


@router.get(
    "/events",
    response_class=StreamingResponse,
    responses=_text("text/event-stream"),
)
async def get_events(
    request: Request,
    since: Annotated[int | None, Query(ge=0)] = None,
    last_event_id: Annotated[str | None, Header(alias="Last-Event-ID")] = None,
) -> Response:
    """The event stream, from now on or after an id."""
    services, resumed = _services(request), since
    if last_event_id is not None:
        if _EVENT_ID.fullmatch(last_event_id) is None:
            return _error_response(400, "ClientError", "Last-Event-ID: is not the id of an event; leave it out")
        resumed = int(last_event_id)
    start = services.hub.last_id if resumed is None else resumed
    return EventResponse(services.hub, since=start, build_status=services.views.status)


def _place(request: Request) -> str:
    """Method and path; not of request.url, into which the Host header goes."""
    return f"{request.method} {request.scope['path']}"


async def _read_mutation(request: Request, key: str | None) -> Mutation:
    """The request to change something.

    Raises:
        ClientError: its client has left. It was told that there is no answer, so nothing may be done late.
    """
    peer: Peer = request.state.peer
    mutation = Mutation(peer=peer, request=f"{_place(request)}", body=await request.body(), key=key)
    for _ in range(_LOOPS_UNTIL_EOF):
        # A daemon that was stopped reads the request first, and that its sender has closed only after that.
        await asyncio.sleep(0)
        if await request.is_disconnected():
            raise _services(request).request_handler.drop(mutation)
    return mutation


def _send(answer: Answer) -> Response:
    return Response(answer.body, status_code=answer.status, media_type="application/json")


@router.post("/jobs", status_code=201, response_model=JobView, responses=_CHANGE)
async def post_job(request: Request, order: Annotated[Submit, Body()], key: IdempotencyKey = None) -> Response:
    """Submit a pretraining, a finetuning or a grid of finetunings."""
    mutation = await _read_mutation(request, key)
    return _send(_services(request).request_handler.submit(order, mutation))


@router.post("/grids/estimate", response_model=GridEstimateView, responses=_CHANGE_JOB)
async def post_grid_estimate(request: Request, order: Annotated[SubmitGrid, Body()]) -> Response:
    """What a grid would take; nothing is queued."""
    peer: Peer = request.state.peer
    return _json(_services(request).request_handler.estimate_grid(order, peer))


@router.post("/sweeps", status_code=201, response_model=SweepView, responses=_CHANGE)
async def post_sweep(request: Request, order: Annotated[SubmitSweep, Body()], key: IdempotencyKey = None) -> Response:
    """Begin a sweep."""
    mutation = await _read_mutation(request, key)
    return _send(_services(request).request_handler.begin_sweep(order, mutation))


@router.post("/sweeps/{id}/cancel", status_code=202, response_model=SweepView, responses=_CHANGE_JOB)
async def post_sweep_cancel(request: Request, id: str, key: IdempotencyKey = None) -> Response:
    """Cancel a sweep: its runs are stopped or cancelled."""
    mutation = await _read_mutation(request, key)
    return _send(_services(request).request_handler.cancel_sweep(id, mutation))


@router.post("/jobs/{id}/priority", status_code=202, response_model=JobView, responses=_CHANGE_JOB)
async def post_priority(request: Request, id: str, body: PriorityBody, key: IdempotencyKey = None) -> Response:
    """Change a waiting job's place in the queue."""
    mutation = await _read_mutation(request, key)
    return _send(_services(request).request_handler.prioritize(id, body.priority, mutation))


@router.post("/jobs/{id}/pause", status_code=202, response_model=JobView, responses=_CHANGE_JOB)
async def post_pause(request: Request, id: str, body: PauseBody | None = None, key: IdempotencyKey = None) -> Response:
    """Pause a pretraining: with a checkpoint, its devices freed; or hot, its memory kept."""
    mutation, hot = await _read_mutation(request, key), body is not None and body.hot
    return _send(_services(request).request_handler.apply_action(JobAction.PAUSE, id, mutation, hot=hot))


@router.post("/jobs/{id}/resume", status_code=202, response_model=JobView, responses=_CHANGE_JOB)
async def post_resume(
    request: Request, id: str, body: ResumeBody | None = None, key: IdempotencyKey = None
) -> Response:
    """Put a job back into the queue; a run also with another number of devices."""
    request_handler, mutation = _services(request).request_handler, await _read_mutation(request, key)
    if body is None or body.devices is None:
        return _send(request_handler.apply_action(JobAction.RESUME, id, mutation))
    return _send(request_handler.resume_on(body.devices, id, mutation))


@router.post("/jobs/{id}/{order}", status_code=202, response_model=JobView, responses=_CHANGE_JOB)
async def post_order(request: Request, id: str, order: JobAction, key: IdempotencyKey = None) -> Response:
    """Pause, resume, checkpoint, stop, hold or release a job."""
    mutation = await _read_mutation(request, key)
    return _send(_services(request).request_handler.apply_action(order, id, mutation))


@router.post("/runs/{id}/budget", status_code=202, response_model=RunView, responses=_CHANGE_JOB)
async def post_budget(request: Request, id: str, order: BudgetRequest, key: IdempotencyKey = None) -> Response:
    """Extend or shrink a run's budget; if it trains, rank 0 applies the change between two steps."""
    mutation = await _read_mutation(request, key)
    return _send(_services(request).request_handler.set_budget(order, id, mutation))


@router.post("/shutdown", status_code=202, response_model=VersionView, responses=_CHANGE)
async def post_shutdown(request: Request, key: IdempotencyKey = None) -> Response:
    """Stop the daemon as SIGTERM would."""
    services = _services(request)
    response = _send(services.request_handler.accept_shutdown(await _read_mutation(request, key)))
    services.shut_down()
    return response


async def get_metrics(request: Request) -> Response:
    """The status as Prometheus text."""
    services = _services(request)
    text = prometheus_text(services.views.status(), counts=services.queue.counts())
    return Response(text, headers={"Content-Type": CONTENT_TYPE})


def _error_response(status: int, code: str, message: str) -> Response:
    return _json(ErrorView(code=code, message=shorten(message)), status=status)


async def _on_bertd_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, BertdError)
    return _error_response(http_status(error), type(error).__name__, str(error))


async def _on_bad_request(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    places = [
        f"{'.'.join(str(part) for part in detail['loc'])}: {describe_problem(detail)}" for detail in error.errors()[:5]
    ]
    return _error_response(422, "ClientError", f"{_place(request)}: {'; '.join(places)}")


async def _on_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _error_response(error.status_code, "ClientError", f"{_place(request)}: {error.detail}")


async def _on_text_that_is_not_unicode(request: Request, error: Exception) -> Response:
    """JSON may name half of a surrogate pair, which no file and no answer can hold."""
    assert isinstance(error, UnicodeEncodeError)
    found = ascii(error.object[error.start : error.end])
    return _error_response(422, "ClientError", f"{_place(request)}: {found} is not a character; send Unicode text")


async def _on_unexpected_error(request: Request, error: Exception) -> Response:
    # The edge of a request; Starlette logs the traceback after this.
    message = f"{_place(request)}: the daemon failed ({type(error).__name__}); its log says more"
    return _error_response(500, "DaemonError", message)


def create_app(services: ApiServices) -> FastAPI:
    """Build the application."""
    app = FastAPI(title="bertd", version=bertd.__version__, docs_url=None, redoc_url=None)
    app.state.services = services
    app.include_router(router)
    app.add_api_route(
        "/metrics",
        get_metrics,
        methods=["GET"],
        response_class=PlainTextResponse,
        responses=_text("text/plain"),
    )
    app.add_middleware(BodyLimit)
    app.add_exception_handler(BertdError, _on_bertd_error)
    app.add_exception_handler(RequestValidationError, _on_bad_request)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_exception_handler(UnicodeEncodeError, _on_text_that_is_not_unicode)
    app.add_exception_handler(Exception, _on_unexpected_error)
    return app
