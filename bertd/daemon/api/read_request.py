"""What the routes read of a request: the parameters that many of them have, and the body of a change."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import Header, Query, Request

from bertd.daemon.api.answers import request_place
from bertd.daemon.api.api_services import services_of
from bertd.daemon.api.requests import Mutation
from bertd.daemon.api.views import MAX_LISTED_JOBS, NEWEST
from bertd.jobs.store.audit import Peer

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=200,
        description="A request that is repeated with the same key and content is carried out once.",
    ),
]
Before = Annotated[int, Query(ge=1, le=NEWEST)]
"""Number of the last page's last job; without it the first page."""
PageSize = Annotated[int, Query(ge=1, le=MAX_LISTED_JOBS)]

_LOOPS_UNTIL_EOF = 4
"""Rounds of the event loop in which it notices that a connection, whose request it has read, is closed."""


async def read_mutation(request: Request, key: str | None) -> Mutation:
    """The request to change something.

    Raises:
        ClientError: its client has left. It was told that there is no answer, so nothing may be done late.
    """
    peer: Peer = request.state.peer
    mutation = Mutation(peer=peer, request=request_place(request), body=await request.body(), key=key)
    for _ in range(_LOOPS_UNTIL_EOF):
        # A daemon that was stopped reads the request first, and that its sender has closed only after that.
        await asyncio.sleep(0)
        if await request.is_disconnected():
            raise services_of(request).request_handler.drop(mutation)
    return mutation
