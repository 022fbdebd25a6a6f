"""Routes of events: the stream, and the log of past ones."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request
from starlette.responses import Response, StreamingResponse

from bertd.api.models import EventView
from bertd.daemon.api.answers import FIND, error_statuses, page_response, problem_response, text_responses
from bertd.daemon.api.api_services import services_of
from bertd.daemon.api.event_stream import EventResponse
from bertd.daemon.api.read_request import EventFilterQuery, PageCursor, PageSize, StreamFilterQuery
from bertd.daemon.api.views import MAX_LISTED_JOBS, NEWEST
from bertd.jobs.store.audit import Peer
from bertd.jobs.store.row_filters import EventFilter

router = APIRouter()

_EVENT_ID = re.compile(r"[0-9]{1,19}")
RunName = Annotated[
    str | None, Query(description="Of this run and of what belongs to it: a run id, a name, a job's number or @.")
]


@router.get(
    "/events",
    response_class=StreamingResponse,
    responses=text_responses("text/event-stream") | error_statuses(404, 429),
)
async def get_events(
    request: Request,
    where: StreamFilterQuery,
    run: RunName = None,
    since: Annotated[int | None, Query(ge=0, description="Id of an event, after which it begins.")] = None,
    last_event_id: Annotated[str | None, Header(alias="Last-Event-ID")] = None,
) -> Response:
    """The event stream, of all events or of those asked for, from now on or after an id."""
    services, resumed = services_of(request), since
    if last_event_id is not None:
        if _EVENT_ID.fullmatch(last_event_id) is None:
            return problem_response(400, "ClientError", "Last-Event-ID: is not the id of an event; leave it out")
        resumed = int(last_event_id)
    peer: Peer = request.state.peer
    start = services.hub.last_id if resumed is None else resumed
    return EventResponse(
        services.hub, uid=peer.uid, since=start, build_status=services.views.status, where=_of_run(request, where, run)
    )


@router.get("/event-log", response_model=list[EventView], responses=FIND)
async def get_event_log(
    request: Request,
    cursor: PageCursor,
    where: EventFilterQuery,
    run: RunName = None,
    limit: PageSize = MAX_LISTED_JOBS,
) -> Response:
    """Past events, newest first: one page of those asked for; the daemon keeps the newest 50,000."""
    where = _of_run(request, where, run)
    events = services_of(request).views.events(before=cursor or NEWEST, limit=limit, where=where)
    return await page_response(request, events, limit=limit, number=lambda event: event.id)


def _of_run(request: Request, where: EventFilter, run: str | None) -> EventFilter:
    return where if run is None else replace(where, run_id=services_of(request).request_handler.run(run).run_id)
