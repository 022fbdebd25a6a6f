"""Measure each request, from its headers to the begin of its answer; what a stream sends later is not waiting."""

from __future__ import annotations

import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bertd.daemon.metrics.latencies import UNKNOWN_OPERATION, Latencies


class RequestTiming:
    """Counts requests in the histograms."""

    def __init__(self, app: ASGIApp, latencies: Latencies) -> None:
        self._app = app
        self._latencies = latencies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun_s = time.monotonic()
        has_answer = False

        def observe(status: int) -> None:
            self._latencies.observe_request(
                method=scope["method"],
                operation=getattr(scope.get("route"), "name", UNKNOWN_OPERATION),
                status=status,
                seconds=time.monotonic() - begun_s,
            )

        async def observed_send(message: Message) -> None:
            nonlocal has_answer
            if message["type"] == "http.response.start":
                has_answer = True
                observe(message["status"])
            await send(message)

        try:
            await self._app(scope, receive, observed_send)
        except Exception:
            # Starlette answers what no handler expects outside of all middleware.
            if not has_answer:
                observe(500)
            raise
