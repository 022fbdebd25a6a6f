"""Routes of the GPUs, or the CPU."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from bertd.api.models import DeviceView, MachineView
from bertd.daemon.api.answers import CHANGE_ONE, READ, answer_response, json_list_response, json_response
from bertd.daemon.api.api_services import services_of
from bertd.daemon.api.read_request import IdempotencyKey, read_mutation

router = APIRouter()


@router.get("/devices", response_model=list[DeviceView], responses=READ)
async def get_devices(request: Request) -> Response:
    """The GPUs, or the CPU."""
    return await json_list_response(services_of(request).views.devices())


@router.get("/machine", response_model=MachineView, responses=READ)
async def get_machine(request: Request) -> Response:
    """The machine apart from its GPUs: cores, memory, disk and network."""
    return json_response(services_of(request).views.machine())


@router.post("/devices/{id}/drain", status_code=202, response_model=DeviceView, responses=CHANGE_ONE)
async def post_drain(request: Request, id: str, key: IdempotencyKey = None) -> Response:
    """Start no more jobs on a device; those that have it keep it. By number, UUID or the beginning of one, or cpu."""
    mutation = await read_mutation(request, key)
    return answer_response(services_of(request).request_handler.set_drained(id, mutation, is_drained=True))


@router.post("/devices/{id}/undrain", status_code=202, response_model=DeviceView, responses=CHANGE_ONE)
async def post_undrain(request: Request, id: str, key: IdempotencyKey = None) -> Response:
    """Start jobs on a device again."""
    mutation = await read_mutation(request, key)
    return answer_response(services_of(request).request_handler.set_drained(id, mutation, is_drained=False))
