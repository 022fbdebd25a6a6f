"""The ASGI application: the routes, /metrics, and the answer to each kind of error.

All handlers run on the event loop's thread, which is the database's only one.
"""

from __future__ import annotations

import warnings
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic.warnings import UnsupportedFieldAttributeWarning
from pydantic_core import PydanticSerializationError
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse

import bertd
from bertd.daemon.api.accounts import LookUpOfPeers
from bertd.daemon.api.answers import problem_response, request_place, text_responses
from bertd.daemon.api.api_services import ApiServices, services_of
from bertd.daemon.api.audited_changes import Mutation, http_status
from bertd.daemon.api.limits import BodyLimit
from bertd.daemon.api.openapi_document import complete_document
from bertd.daemon.api.prometheus import prometheus_text
from bertd.daemon.api.request_timing import RequestTiming
from bertd.daemon.api.routes import (
    daemon_routes,
    device_routes,
    event_routes,
    garbage_routes,
    hook_routes,
    job_routes,
    run_routes,
    series_routes,
    sweep_routes,
)
from bertd.errors import BertdError
from bertd.validation_text import describe_problem

_ROUTERS = (
    daemon_routes.router,
    run_routes.router,
    series_routes.router,
    job_routes.router,
    device_routes.router,
    sweep_routes.router,
    event_routes.router,
    garbage_routes.router,
    hook_routes.router,
)


async def get_metrics(request: Request) -> Response:
    """The status and the latencies as metrics: OpenMetrics where it is accepted, else Prometheus' text."""
    services = services_of(request)
    services.latencies.set_streams(services.hub.num_streams)
    text, media_type = prometheus_text(
        services.views.status(),
        counts=services.queue.counts(),
        latencies=services.latencies,
        accept=request.headers.get("accept", ""),
    )
    return Response(text, headers={"Content-Type": media_type})


async def _on_bertd_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, BertdError)
    return problem_response(http_status(error), type(error).__name__, str(error))


async def _on_bad_request(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    places = [
        f"{'.'.join(str(part) for part in detail['loc'])}: {describe_problem(detail)}" for detail in error.errors()[:5]
    ]
    message = f"{request_place(request)}: {'; '.join(places)}"
    _audit_unreadable_change(request, message)
    return problem_response(422, "ClientError", message)


async def _on_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return problem_response(
        error.status_code, "ClientError", f"{request_place(request)}: {error.detail}", headers=error.headers
    )


async def _on_text_that_is_not_unicode(request: Request, error: Exception) -> Response:
    """JSON may name half of a surrogate pair, which no file and no answer can hold."""
    assert isinstance(error, UnicodeEncodeError)
    found = ascii(error.object[error.start : error.end])
    message = f"{request_place(request)}: {found} is not a character; send Unicode text"
    _audit_unreadable_change(request, message)
    return problem_response(422, "ClientError", message)


async def _on_record_that_cannot_be_written(request: Request, error: Exception) -> Response:
    """As above, found by pydantic when it writes what was asked for to the disk.

    Raises:
        Exception: the error, where it is not the client's.
    """
    if request.method != "POST" or "surrogates not allowed" not in str(error):
        raise error
    message = f"{request_place(request)}: a text has half of a surrogate pair; send Unicode text"
    _audit_unreadable_change(request, message)
    return problem_response(422, "ClientError", message)


async def _on_unexpected_error(request: Request, error: Exception) -> Response:
    # The edge of a request; Starlette logs the traceback after this.
    message = f"{request_place(request)}: the daemon failed ({type(error).__name__}); its log says more"
    return problem_response(500, "DaemonError", message)


def _audit_unreadable_change(request: Request, message: str) -> None:
    if request.method == "POST":
        mutation = Mutation(peer=request.state.peer, request=request_place(request), body=b"", key=None)
        services_of(request).request_handler.changes.note_unreadable(mutation, message)


class _Application(FastAPI):
    def openapi(self) -> dict[str, Any]:
        """The document at /openapi.json; built once."""
        if self.openapi_schema is None:
            complete_document(super().openapi())
        assert self.openapi_schema is not None
        return self.openapi_schema


def create_app(services: ApiServices) -> FastAPI:
    """Build the application."""
    # FastAPI leaves this warning out itself while it makes what checks a body; of records, whose building is deferred,
    # that is done at the first request.
    warnings.filterwarnings("ignore", category=UnsupportedFieldAttributeWarning)
    app = _Application(
        title="bertd",
        version=bertd.__version__,
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=lambda route: route.name,
    )
    app.state.services = services
    for router in _ROUTERS:
        app.include_router(router, prefix="/v1")
    app.add_api_route(
        "/metrics",
        get_metrics,
        methods=["GET"],
        response_class=PlainTextResponse,
        responses=text_responses("text/plain", "application/openmetrics-text"),
    )
    app.add_middleware(BodyLimit)
    app.add_middleware(LookUpOfPeers, accounts=services.request_handler.changes.accounts)
    app.add_middleware(RequestTiming, latencies=services.latencies)
    app.add_exception_handler(BertdError, _on_bertd_error)
    app.add_exception_handler(RequestValidationError, _on_bad_request)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_exception_handler(UnicodeEncodeError, _on_text_that_is_not_unicode)
    app.add_exception_handler(PydanticSerializationError, _on_record_that_cannot_be_written)
    app.add_exception_handler(Exception, _on_unexpected_error)
    return app
