"""Routes of what ended jobs leave on the disk."""

from __future__ import annotations

import asyncio
import time
from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from bertd.api.models import GarbageDeletedView, GarbageRequest, GarbageView
from bertd.daemon.api.answers import CHANGE_ONE, FIND, answer_response, json_list_response
from bertd.daemon.api.api_services import services_of
from bertd.daemon.api.read_request import IdempotencyKey, read_mutation
from bertd.daemon.garbage.collect import Taken, garbage_of, garbage_view, remove

router = APIRouter()


@router.get("/garbage", response_model=list[GarbageView], responses=FIND)
async def get_garbage(
    request: Request,
    job: Annotated[list[str], Query(default_factory=list, description="Only of these jobs.")],
    older_than_s: Annotated[float, Query(ge=0, allow_inf_nan=False)] = 0.0,
    all_checkpoints: bool = False,
) -> Response:
    """What of ended jobs nothing needs any more."""
    wanted = GarbageRequest(jobs=job, older_than_s=older_than_s, all_checkpoints=all_checkpoints)
    jobs = services_of(request).request_handler.garbage.jobs(wanted, now=time.time())
    found = await asyncio.to_thread(garbage_of, jobs, all_checkpoints=all_checkpoints)
    return await json_list_response([garbage_view(each) for each in found])


@router.post("/garbage", status_code=202, response_model=GarbageDeletedView, responses=CHANGE_ONE)
async def post_garbage(request: Request, body: GarbageRequest, key: IdempotencyKey = None) -> Response:
    """Delete what of ended jobs nothing needs any more."""
    mutation = await read_mutation(request, key)
    handler = services_of(request).request_handler
    jobs = handler.garbage.jobs(body, now=time.time())
    # Sizes are read in a thread; what is deleted is looked at again in the change itself.
    found = await asyncio.to_thread(garbage_of, jobs, all_checkpoints=body.all_checkpoints)
    taken: list[Taken] = []
    try:
        return answer_response(handler.delete_garbage(found, mutation, taken=taken))
    finally:
        await asyncio.to_thread(remove, taken)
