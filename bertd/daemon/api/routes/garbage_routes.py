"""Routes of what ended jobs leave on the disk."""

from __future__ import annotations

import time
from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from bertd.api.models import GarbageDeletedView, GarbageRequest, GarbageView
from bertd.daemon.api.answers import CHANGE_ONE, FIND, answer_response, error_statuses, json_list_response
from bertd.daemon.api.api_services import services_of
from bertd.daemon.api.read_request import IdempotencyKey, read_mutation
from bertd.daemon.garbage.collect import Taken, garbage_view
from bertd.daemon.garbage.find_garbage import Garbage
from bertd.errors import BertdError

router = APIRouter()


@router.get("/garbage", response_model=list[GarbageView], responses=FIND | error_statuses(503))
async def get_garbage(
    request: Request,
    job: Annotated[list[str], Query(default_factory=list, description="Only of these jobs.")],
    older_than_s: Annotated[float, Query(ge=0, allow_inf_nan=False)] = 0.0,
    all_checkpoints: bool = False,
) -> Response:
    """What of ended jobs nothing needs any more."""
    wanted = GarbageRequest(jobs=job, older_than_s=older_than_s, all_checkpoints=all_checkpoints)
    found = await services_of(request).request_handler.garbage.find(wanted, now=time.time())
    return await json_list_response([garbage_view(each) for each in found])


@router.post("/garbage", status_code=202, response_model=GarbageDeletedView, responses=CHANGE_ONE)
async def post_garbage(request: Request, body: GarbageRequest, key: IdempotencyKey = None) -> Response:
    """Delete what of ended jobs nothing needs any more."""
    mutation = await read_mutation(request, key)
    handler = services_of(request).request_handler
    found, problem = list[Garbage](), None
    if handler.changes.is_operator(mutation.peer):
        try:
            # Sizes are read in a thread; what is deleted is looked at again in the change itself.
            found = await handler.garbage.find(body, now=time.time())
        except BertdError as error:
            problem = error
    taken: list[Taken] = []
    try:
        return answer_response(handler.delete_garbage(found, mutation, taken=taken, problem=problem))
    finally:
        if taken:
            await handler.garbage.remove(taken)
