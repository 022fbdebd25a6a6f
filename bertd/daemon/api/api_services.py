"""The parts of the daemon that the routes call, kept in the application's state."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fastapi import Request

from bertd.daemon.api.event_stream import EventHub
from bertd.daemon.api.requests import RequestHandler
from bertd.daemon.api.views import Views
from bertd.daemon.configuration.live import LiveConfiguration
from bertd.daemon.hooks.hooks import Hooks
from bertd.daemon.metrics.latencies import Latencies
from bertd.daemon.metrics.run_metrics import RunMetrics
from bertd.jobs.store.queue import Queue


@dataclass(frozen=True)
class ApiServices:
    """The parts of the daemon that the handlers call."""

    request_handler: RequestHandler
    views: Views
    queue: Queue
    run_metrics: RunMetrics
    hub: EventHub
    latencies: Latencies
    configuration: LiveConfiguration
    hooks: Hooks
    shut_down: Callable[[], None]


def services_of(request: Request) -> ApiServices:
    """The parts of the daemon that serves this request."""
    services = request.app.state.services
    assert isinstance(services, ApiServices)
    return services
