"""Routes of sweeps."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body, Request
from starlette.responses import Response

from bertd.api.sweep_models import SubmitSweep, SweepView
from bertd.daemon.api.answers import (
    CHANGE,
    CHANGE_ONE,
    FIND,
    READ,
    answer_response,
    json_list_response,
    json_response,
)
from bertd.daemon.api.api_services import services_of
from bertd.daemon.api.read_request import IdempotencyKey, read_mutation

router = APIRouter()


@router.get("/sweeps", response_model=list[SweepView], responses=READ)
async def get_sweeps(request: Request) -> Response:
    """All sweeps, newest first, without their settings."""
    return await json_list_response(services_of(request).request_handler.sweeps.views.sweeps())


@router.get("/sweeps/{id}", response_model=SweepView, responses=FIND)
async def get_sweep(request: Request, id: str) -> Response:
    """One sweep with its settings, by number, name or @, which is the newest."""
    sweeps = services_of(request).request_handler.sweeps
    return json_response(sweeps.views.sweep(sweeps.table.get(id)))


@router.post("/sweeps", status_code=201, response_model=SweepView, responses=CHANGE)
async def post_sweep(request: Request, order: Annotated[SubmitSweep, Body()], key: IdempotencyKey = None) -> Response:
    """Begin a sweep."""
    mutation = await read_mutation(request, key)
    handler = services_of(request).request_handler
    problem = await handler.find_problem(order, mutation.peer)
    return answer_response(handler.begin_sweep(order, mutation, problem=problem))


@router.post("/sweeps/{id}/cancel", status_code=202, response_model=SweepView, responses=CHANGE_ONE)
async def post_sweep_cancel(request: Request, id: str, key: IdempotencyKey = None) -> Response:
    """Cancel a sweep: its runs are stopped or cancelled."""
    mutation = await read_mutation(request, key)
    return answer_response(services_of(request).request_handler.cancel_sweep(id, mutation))
