"""What the routes read of a request: the parameters that many of them have, and the body of a change."""

from __future__ import annotations

import asyncio
import pwd
import re
from dataclasses import replace
from typing import Annotated

from fastapi import Depends, Header, Query, Request
from starlette.exceptions import HTTPException

from bertd.daemon.api.answers import request_place
from bertd.daemon.api.api_services import services_of
from bertd.daemon.api.audited_changes import Mutation
from bertd.daemon.api.views import MAX_LISTED_JOBS, NEWEST
from bertd.jobs.store.audit import Peer
from bertd.jobs.store.row_filters import EventFilter, JobFilter
from bertd.records import JobKind, JobState

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=200,
        description="A request that is repeated with the same key and content is carried out once.",
    ),
]
PageSize = Annotated[int, Query(ge=1, le=MAX_LISTED_JOBS, description="Rows of the page.")]

_LOOPS_UNTIL_EOF = 4
"""Rounds of the event loop in which it notices that a connection, whose request it has read, is closed."""


def _read_cursor(
    after: Annotated[
        int | None,
        Query(
            ge=1,
            le=NEWEST,
            description="Number of the last row of the page before, as in that page's Link header; "
            "without it the first page. Rows that are added meanwhile move no row to another page.",
        ),
    ] = None,
    before: Annotated[
        int | None, Query(ge=1, le=NEWEST, deprecated=True, description="An earlier name of `after`.")
    ] = None,
) -> int | None:
    return before if after is None else after


PageCursor = Annotated[int | None, Depends(_read_cursor)]
"""Newest come first, so that a page has what has a lower number; None for the first page."""
States = Annotated[list[JobState], Query(default_factory=list, alias="state", description="In one of these states.")]
Kinds = Annotated[list[JobKind], Query(default_factory=list, alias="kind", description="Of one of these kinds.")]
User = Annotated[str | None, Query(description="Submitted by this user: a name or a uid.", max_length=100)]
Since = Annotated[float | None, Query(allow_inf_nan=False, description="At this time or later, in Unix seconds.")]
Until = Annotated[float | None, Query(allow_inf_nan=False, description="Before this time, in Unix seconds.")]


def _read_job_filter(
    state: States, kind: Kinds, user: User = None, since: Since = None, until: Until = None
) -> JobFilter:
    return JobFilter(states=tuple(state), kinds=tuple(kind), owner_uid=_find_uid(user), since_t=since, until_t=until)


def _read_stream_filter(
    type: Annotated[list[str], Query(default_factory=list, description="Of one of these types, such as alert.")],
    kind: Kinds,
    job: Annotated[int | None, Query(ge=1, le=NEWEST, description="Of the job with this number.")] = None,
    user: User = None,
) -> EventFilter:
    return EventFilter(types=tuple(type), job_id=job, jobs=JobFilter(kinds=tuple(kind), owner_uid=_find_uid(user)))


def _read_event_filter(
    where: Annotated[EventFilter, Depends(_read_stream_filter)],
    since: Since = None,
    until: Until = None,
) -> EventFilter:
    return replace(where, since_t=since, until_t=until)


JobFilterQuery = Annotated[JobFilter, Depends(_read_job_filter)]
EventFilterQuery = Annotated[EventFilter, Depends(_read_event_filter)]
StreamFilterQuery = Annotated[EventFilter, Depends(_read_stream_filter)]
"""Without times: a stream goes by ids."""


def _find_uid(user: str | None) -> int | None:
    """The uid of a name or a number; None for None.

    Raises:
        HTTPException: the machine has no such user.
    """
    if user is None:
        return None
    if re.fullmatch("[0-9]{1,10}", user):
        return int(user)
    try:
        return pwd.getpwnam(user).pw_uid
    except (KeyError, ValueError):
        raise HTTPException(422, f"user: this machine has no user {user!r}; give a name or a uid") from None


def _read_user(user: User = None) -> int | None:
    return _find_uid(user)


UserUid = Annotated[int | None, Depends(_read_user)]
"""The uid of the query's user; None for any."""


async def read_mutation(request: Request, key: str | None) -> Mutation:
    """The request to change something.

    Raises:
        ClientError: its client has left. It was told that there is no answer, so nothing may be done late.
    """
    peer: Peer = request.state.peer
    changes, body = services_of(request).request_handler.changes, await request.body()
    mutation = Mutation(
        peer=peer, request=request_place(request), body=body, key=key, user=changes.accounts.name(peer.uid)
    )
    for _ in range(_LOOPS_UNTIL_EOF):
        # A daemon that was stopped reads the request first, and that its sender has closed only after that.
        await asyncio.sleep(0)
        if await request.is_disconnected():
            raise changes.drop(mutation)
    return mutation
