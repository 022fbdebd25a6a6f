"""Routes of the hooks that are configured."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from bertd.api.models import HookTestView, HookView
from bertd.daemon.api.answers import CHANGE_ONE, READ, answer_response, json_list_response
from bertd.daemon.api.api_services import services_of
from bertd.daemon.api.read_request import IdempotencyKey, read_mutation

router = APIRouter()


@router.get("/hooks", response_model=list[HookView], responses=READ)
async def get_hooks(request: Request) -> Response:
    """The hooks of the daemon's configuration, each with what became of its newest event."""
    return await json_list_response(services_of(request).hooks.views())


@router.post("/hooks/{name}/test", status_code=202, response_model=HookTestView, responses=CHANGE_ONE)
async def post_hook_test(request: Request, name: str, key: IdempotencyKey = None) -> Response:
    """Send a test event to a hook; `newest_test` of the hook says what became of it."""
    mutation = await read_mutation(request, key)
    return answer_response(services_of(request).request_handler.test_hook(name, mutation))
