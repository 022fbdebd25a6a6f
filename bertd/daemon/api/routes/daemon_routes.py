"""Routes of the daemon as a whole: its version, its status, its end."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from bertd.api.models import ConfigurationKeyView, StatusView, VersionView
from bertd.daemon.api.answers import CHANGE, READ, answer_response, json_list_response, json_response
from bertd.daemon.api.api_services import services_of
from bertd.daemon.api.read_request import IdempotencyKey, read_mutation

router = APIRouter()


@router.get("/version", response_model=VersionView, responses=READ)
async def get_version(request: Request) -> Response:
    """Version, pid and state folder of the daemon."""
    return json_response(services_of(request).views.version)


@router.get("/status", response_model=StatusView, responses=READ)
async def get_status(request: Request) -> Response:
    """Runs, jobs, devices and the newest events."""
    return json_response(services_of(request).views.status())


@router.get("/configuration", response_model=list[ConfigurationKeyView], responses=READ)
async def get_configuration(request: Request) -> Response:
    """Each key of the daemon's configuration, its value, and where that comes from."""
    return await json_list_response(services_of(request).configuration.views())


@router.post("/shutdown", status_code=202, response_model=VersionView, responses=CHANGE)
async def post_shutdown(request: Request, key: IdempotencyKey = None) -> Response:
    """Stop the daemon as SIGTERM would."""
    services = services_of(request)
    response = answer_response(services.request_handler.accept_shutdown(await read_mutation(request, key)))
    services.shut_down()
    return response
