"""How long the scheduler's rounds and the API's requests take, as Prometheus histograms. One set for each daemon.

The number of series is bounded: a request is counted under the name of its route, and all unknown paths under one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_T = TypeVar("_T")
_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.5)
UNKNOWN_OPERATION = "unknown"


class Latencies:
    """The histograms, and the registry that has them."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._tick = Histogram(
            "bertd_scheduler_tick_duration_seconds",
            "Time of one round of the scheduler.",
            buckets=_BUCKETS_S,
            registry=self.registry,
        )
        self._tick_failures = Counter(
            "bertd_scheduler_tick_failures", "Rounds of the scheduler that an error ended.", registry=self.registry
        )
        self._requests = Histogram(
            "bertd_api_request_duration_seconds",
            "Time from a request's headers to the begin of its answer.",
            labelnames=("method", "operation", "status"),
            buckets=_BUCKETS_S,
            registry=self.registry,
        )
        self._streams = Gauge("bertd_event_streams", "Clients that follow the events.", registry=self.registry)

    def timed(self, tick: Callable[[], _T]) -> Callable[[], _T]:
        """The scheduler's round, measured."""

        def run() -> _T:
            with self._tick.time(), self._tick_failures.count_exceptions():
                return tick()

        return run

    def observe_request(self, *, method: str, operation: str, status: int, seconds: float) -> None:
        """Count a request; `operation` is the name of its route in the OpenAPI document, such as get_jobs."""
        known_method = method if method in ("GET", "POST", "HEAD") else "other"
        self._requests.labels(known_method, operation, f"{status // 100}xx").observe(seconds)

    def set_streams(self, count: int) -> None:
        """Set the number of clients that follow the events."""
        self._streams.set(count)
