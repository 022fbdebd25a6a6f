"""The server-sent event stream: every committed event, and the newest status about once a second.

Nothing is queued for a client. Each has the id of the last event it got and is given what the log has behind it, so
a slow one costs no memory; ticks are conflated, events never left out. Who does not take a frame for a while is
disconnected, and resumes with Last-Event-ID.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from bertd.jobs.event_log import EventLog
from bertd.wire import EventView, StatusView

logger = logging.getLogger(__name__)

TICK_S = 1.0
HEARTBEAT_S = 15.0
STALLED_S = 30.0
"""A client that takes no frame for so long is disconnected."""
_RECENT_FRAMES = 1_000
_PAGE = 200


class EventHub:
    """Wakes the streams; each frame is made once for all of them."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._recent: deque[tuple[int, bytes]] = deque(maxlen=_RECENT_FRAMES)
        self._last_id = log.last_id()
        self._changed = asyncio.Event()
        self.tick: bytes = b""
        self.tick_number = 0
        self.ticked_at = -TICK_S
        self.num_streams = 0
        self.is_closed = False

    def committed(self) -> None:
        """Frame what the log got, and wake the streams."""
        while events := self._log.since(self._last_id, limit=_PAGE):
            for event in events:
                self._recent.append((event.id, frame(event)))
            self._last_id = events[-1].id
        self._wake()

    def publish_tick(self, status: StatusView) -> None:
        """Replace the tick that streams send next."""
        self.tick = b"event: tick\ndata: " + status.model_dump_json().encode() + b"\n\n"
        self.tick_number += 1
        self.ticked_at = time.monotonic()
        self._wake()

    def close(self) -> None:
        """End all streams."""
        self.is_closed = True
        self._wake()

    def since(self, id: int) -> list[tuple[int, bytes]]:
        """The next frames after `id`; empty where there are none."""
        if self._recent and self._recent[0][0] <= id + 1:
            return [entry for entry in self._recent if entry[0] > id][:_PAGE]
        return [(event.id, frame(event)) for event in self._log.since(id, limit=_PAGE)]

    @property
    def last_id(self) -> int:
        """Of the newest event."""
        return self._last_id

    async def wait(self, timeout_s: float) -> None:
        """Until something changed, or the timeout."""
        try:
            await asyncio.wait_for(self._changed.wait(), timeout_s)
        except TimeoutError:
            pass

    def _wake(self) -> None:
        woken, self._changed = self._changed, asyncio.Event()
        woken.set()


def frame(event: EventView) -> bytes:
    """One event as it stands in the stream."""
    return f"id: {event.id}\nevent: event\ndata: {event.model_dump_json()}\n\n".encode()


class EventResponse(Response):
    """An ASGI response that lasts until the client leaves or the daemon ends."""

    def __init__(self, hub: EventHub, *, since: int, fresh_status: Callable[[], StatusView]) -> None:
        super().__init__(media_type="text/event-stream")
        self._hub = hub
        self._last_id = min(since, hub.last_id)
        self._fresh_status = fresh_status

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one client."""
        headers = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-store")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        leaving = asyncio.ensure_future(_left(receive))
        serving = asyncio.ensure_future(self._serve(send))
        self._hub.num_streams += 1
        try:
            await asyncio.wait((leaving, serving), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._hub.num_streams -= 1
            for task in (leaving, serving):
                task.cancel()
            await asyncio.gather(leaving, serving, return_exceptions=True)

    async def _serve(self, send: Send) -> None:
        if time.monotonic() - self._hub.ticked_at > TICK_S:
            # Nobody listened a moment ago, so nobody made one.
            self._hub.publish_tick(self._fresh_status())
        tick_number, sent_at = -1, time.monotonic()
        while not self._hub.is_closed:
            payload = b""
            for id, content in self._hub.since(self._last_id):
                payload += content
                self._last_id = id
            if not payload and self._hub.tick_number != tick_number:
                tick_number, payload = self._hub.tick_number, self._hub.tick
            if not payload and time.monotonic() - sent_at >= HEARTBEAT_S:
                payload = b": still here\n\n"
            if payload:
                if not await _sent(send, payload):
                    return
                sent_at = time.monotonic()
            else:
                await self._hub.wait(max(0.0, HEARTBEAT_S - (time.monotonic() - sent_at)))
        await _sent(send, b"", more=False)


async def _sent(send: Send, payload: bytes, *, more: bool = True) -> bool:
    """Whether the client took it in time."""
    try:
        await asyncio.wait_for(send({"type": "http.response.body", "body": payload, "more_body": more}), STALLED_S)
    except TimeoutError:
        logger.warning("an event stream took nothing for %.0f s and was closed", STALLED_S)
        return False
    return True


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
