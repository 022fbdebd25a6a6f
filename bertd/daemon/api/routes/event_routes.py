"""The route of the event stream."""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request
from starlette.responses import Response, StreamingResponse

from bertd.daemon.api.answers import problem_response, text_responses
from bertd.daemon.api.api_services import services_of
from bertd.daemon.api.event_stream import EventResponse

router = APIRouter()

_EVENT_ID = re.compile(r"[0-9]{1,19}")


@router.get(
    "/events",
    response_class=StreamingResponse,
    responses=text_responses("text/event-stream"),
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
    start = services.hub.last_id if resumed is None else resumed
    return EventResponse(services.hub, since=start, build_status=services.views.status)
