"""Routes of events: the stream, and the log of past ones."""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request
from starlette.responses import Response, StreamingResponse

from bertd.api.models import EventView
from bertd.daemon.api.answers import READ, error_statuses, page_response, problem_response, text_responses
from bertd.daemon.api.api_services import services_of
from bertd.daemon.api.event_stream import MAX_STREAMS_PER_UID, EventResponse
from bertd.daemon.api.read_request import EventFilterQuery, PageCursor, PageSize
from bertd.daemon.api.views import MAX_LISTED_JOBS, NEWEST
from bertd.jobs.store.audit import Peer

router = APIRouter()

_EVENT_ID = re.compile(r"[0-9]{1,19}")


@router.get(
    "/events",
    response_class=StreamingResponse,
    responses=text_responses("text/event-stream") | error_statuses(429),
)
async def get_events(
    request: Request,
    since: Annotated[int | None, Query(ge=0)] = None,
    last_event_id: Annotated[str | None, Header(alias="Last-Event-ID")] = None,
) -> Response:
    """The event stream, from now on or after an id."""
    services, resumed = services_of(request), since
    if last_event_id is not None:
        if _EVENT_ID.fullmatch(last_event_id) is None:
            return problem_response(400, "ClientError", "Last-Event-ID: is not the id of an event; leave it out")
        resumed = int(last_event_id)
    peer: Peer = request.state.peer
    if not services.hub.has_room_for(peer.uid):
        message = f"uid {peer.uid}: has {MAX_STREAMS_PER_UID} event streams open, as many as one may; close some"
        return problem_response(429, "ClientError", message)
    start = services.hub.last_id if resumed is None else resumed
    return EventResponse(services.hub, uid=peer.uid, since=start, build_status=services.views.status)


@router.get("/event-log", response_model=list[EventView], responses=READ)
async def get_event_log(
    request: Request, cursor: PageCursor, where: EventFilterQuery, limit: PageSize = MAX_LISTED_JOBS
) -> Response:
    """Past events, newest first: one page of those asked for; the daemon keeps the newest 50,000."""
    events = services_of(request).views.events(before=cursor or NEWEST, limit=limit, where=where)
    return await page_response(request, events, limit=limit, number=lambda event: event.id)
