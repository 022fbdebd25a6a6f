"""Routes of the daemon as a whole: its version, its status, its end."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from bertd.api.models import AuditView, ConfigurationKeyView, StatusView, VersionView
from bertd.daemon.api.answers import (
    CHANGE,
    READ,
    answer_response,
    error_statuses,
    json_list_response,
    json_response,
    page_response,
)
from bertd.daemon.api.api_services import services_of
from bertd.daemon.api.read_request import IdempotencyKey, PageCursor, PageSize, Since, UserUid, read_mutation
from bertd.daemon.api.views import MAX_LISTED_JOBS, NEWEST
from bertd.jobs.store.audit import Peer

router = APIRouter()

BINARY_MEDIA_TYPE = "application/octet-stream"
_BINARY: dict[str, Any] = {"content": {BINARY_MEDIA_TYPE: {"schema": {"type": "string", "format": "binary"}}}}
QUEUE_COPY: dict[int | str, dict[str, Any]] = {200: _BINARY, **error_statuses(400, 403, 422, 503, 507)}


@router.get("/version", response_model=VersionView, responses=READ)
async def get_version(request: Request) -> Response:
    """Version, pid and state folder of the daemon, and whether the one who asks may change things."""
    services, peer = services_of(request), request.state.peer
    is_operator = services.request_handler.changes.is_operator(peer)
    return json_response(services.views.version.model_copy(update={"is_operator": is_operator}))


@router.get("/status", response_model=StatusView, responses=READ)
async def get_status(request: Request) -> Response:
    """Runs, jobs, devices and the newest events."""
    return json_response(services_of(request).views.status())


@router.get("/configuration", response_model=list[ConfigurationKeyView], responses=READ)
async def get_configuration(request: Request) -> Response:
    """Each key of the daemon's configuration, its value, and where that comes from."""
    return await json_list_response(services_of(request).configuration.views())


@router.get("/audit", response_model=list[AuditView], responses=READ | error_statuses(403))
async def get_audit(
    request: Request, cursor: PageCursor, user: UserUid = None, since: Since = None, limit: PageSize = MAX_LISTED_JOBS
) -> Response:
    """Requests to change something, newest first: who, what, when, and whether it was done.

    The newest 50,000 that were done are kept, and the newest 10,000 that were refused.
    """
    peer: Peer = request.state.peer
    rows = await services_of(request).request_handler.changes.audit(
        peer, before=cursor or NEWEST, limit=limit, uid=user, since_t=since
    )
    return await page_response(request, rows, limit=limit, number=lambda row: row.id)


@router.get("/queue-copy", response_class=Response, responses=QUEUE_COPY)
async def get_queue_copy(request: Request) -> Response:
    """A copy of the queue's file, for a backup."""
    peer: Peer = request.state.peer
    return Response(services_of(request).request_handler.changes.queue_copy(peer), media_type=BINARY_MEDIA_TYPE)


@router.post("/shutdown", status_code=202, response_model=VersionView, responses=CHANGE)
async def post_shutdown(request: Request, key: IdempotencyKey = None) -> Response:
    """Stop the daemon as SIGTERM would."""
    services = services_of(request)
    mutation = await read_mutation(request, key)
    return answer_response(services.request_handler.accept_shutdown(mutation, shut_down=services.shut_down))
