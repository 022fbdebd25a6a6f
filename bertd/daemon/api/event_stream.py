"""The server-sent event stream: every committed event, and the newest status about once a second.

Nothing is queued for a client. A stream keeps the id of the last event it sent and sends what the log has after it, so
a slow client costs no memory; ticks are conflated, events are never left out. A client that accepts no frame for
STALL_TIMEOUT_S is disconnected, and can resume with Last-Event-ID. A tick has an id, too: that of the last event that
was sent or, in a stream of some events only, passed over. So a stream without an event resumes where it was, too.

Waits are limited by asyncio.timeout. In Python 3.11 asyncio.wait_for loses a cancellation that comes together with what
is waited for: the stream of a client that left at the moment of an event then never ended.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from bertd.api.models import EventView, StatusView
from bertd.daemon.api.answers import problem_response
from bertd.jobs.store.event_log import EventLog
from bertd.jobs.store.row_filters import ANY_EVENT, EventFilter
from bertd.run.machine.trusted_folders import is_root_or_own

logger = logging.getLogger(__name__)

TICK_INTERVAL_S = 1.0
KEEPALIVE_INTERVAL_S = 15.0
STALL_TIMEOUT_S = 30.0
"""A client that accepts no frame for this long is disconnected."""
MAX_STREAMS_PER_UID = 16
"""Of one user that is neither root nor the daemon's: a quarter of the connections that one may have."""
_RECENT_FRAMES = 1_000
_PAGE_SIZE = 200


@dataclass(frozen=True)
class FramePage:
    """The next frames of a stream."""

    content: bytes
    """Empty where there are none."""
    last_id: int
    """The newest event that was looked at: the next page begins after it."""


class EventHub:
    """Wakes the streams; each frame is made once for all of them."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._recent_frames: deque[tuple[int, bytes]] = deque(maxlen=_RECENT_FRAMES)
        self._last_id = log.last_id()
        self._changed = asyncio.Event()
        self.tick: bytes = b""
        self.tick_number = 0
        self.ticked_at = -TICK_INTERVAL_S
        self.streams_by_uid: Counter[int] = Counter()
        """Open streams of each user."""
        self.is_closed = False

    def on_commit(self) -> None:
        """Frame the log's new events, and wake the streams."""
        while events := self._log.since(self._last_id, limit=_PAGE_SIZE):
            for event in events:
                self._recent_frames.append((event.id, frame(event)))
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

    def since(self, id: int, *, where: EventFilter = ANY_EVENT) -> FramePage:
        """The next frames after `id` of the events that are asked for."""
        if where.excludes_any:
            return self._read_page(id, where)
        if self._recent_frames and self._recent_frames[0][0] <= id + 1:
            page = [entry for entry in self._recent_frames if entry[0] > id][:_PAGE_SIZE]
            return FramePage(b"".join(content for _, content in page), last_id=page[-1][0] if page else id)
        return self._read_page(id, where)

    def _read_page(self, id: int, where: EventFilter) -> FramePage:
        events = self._log.since(id, limit=_PAGE_SIZE, where=where)
        # A page that is not full has all: what is not in it was passed over.
        last_id = events[-1].id if len(events) == _PAGE_SIZE else max(id, self._last_id)
        return FramePage(b"".join(frame(event) for event in events), last_id=last_id)

    @property
    def last_id(self) -> int:
        return self._last_id

    @property
    def num_streams(self) -> int:
        return self.streams_by_uid.total()

    def count_stream(self, uid: int, change: int) -> None:
        """Note that a stream of a user began, 1, or ended, -1."""
        self.streams_by_uid[uid] += change
        if not self.streams_by_uid[uid]:
            del self.streams_by_uid[uid]

    def has_room_for(self, uid: int) -> bool:
        """Whether a user may open one more stream; root and the daemon's own user always may."""
        return is_root_or_own(uid) or self.streams_by_uid[uid] < MAX_STREAMS_PER_UID

    async def wait(self, timeout_s: float) -> None:
        """Wait until something changes, or the timeout."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._changed.wait()
        except TimeoutError:
            pass

    def _wake(self) -> None:
        previous_event, self._changed = self._changed, asyncio.Event()
        previous_event.set()


def frame(event: EventView) -> bytes:
    """One event as the bytes of the stream."""
    return f"id: {event.id}\nevent: event\ndata: {event.model_dump_json()}\n\n".encode()


class EventResponse(Response):
    """An ASGI response that lasts until the client leaves or the daemon ends."""

    def __init__(
        self,
        hub: EventHub,
        *,
        uid: int,
        since: int,
        build_status: Callable[[], StatusView],
        where: EventFilter = ANY_EVENT,
    ) -> None:
        """Begin.

        Args:
            uid: of the client, which is refused if it has too many streams; see EventHub.has_room_for.
            where: which events it gets.
        """
        super().__init__(media_type="text/event-stream")
        self._hub = hub
        self._uid = uid
        self._last_id = min(since, hub.last_id)
        self._build_status = build_status
        self._where = where

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one client, or refuse it."""
        # Counted before the first await: of a burst of requests each one sees those before it.
        if not self._hub.has_room_for(self._uid):
            message = f"uid {self._uid}: has {MAX_STREAMS_PER_UID} event streams open, as many as one may; close some"
            await problem_response(429, "ClientError", message)(scope, receive, send)
            return
        self._hub.count_stream(self._uid, 1)
        try:
            await self._serve_until_left(receive, send)
        finally:
            self._hub.count_stream(self._uid, -1)

    async def _serve_until_left(self, receive: Receive, send: Send) -> None:
        headers = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-store")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        disconnect_task = asyncio.ensure_future(_wait_for_disconnect(receive))
        serve_task = asyncio.ensure_future(self._serve(send))
        try:
            await asyncio.wait((disconnect_task, serve_task), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (disconnect_task, serve_task):
                task.cancel()
            await asyncio.gather(disconnect_task, serve_task, return_exceptions=True)

    async def _serve(self, send: Send) -> None:
        if time.monotonic() - self._hub.ticked_at > TICK_INTERVAL_S:
            # No stream was open a moment ago, so no tick was made.
            self._hub.publish_tick(self._build_status())
        tick_number, sent_at = -1, time.monotonic()
        while not self._hub.is_closed:
            page = self._hub.since(self._last_id, where=self._where)
            payload, self._last_id = page.content, page.last_id
            if not payload and self._hub.tick_number != tick_number:
                tick_number, payload = self._hub.tick_number, b"id: %d\n%b" % (self._last_id, self._hub.tick)
            if not payload and time.monotonic() - sent_at >= KEEPALIVE_INTERVAL_S:
                payload = b": still here\n\n"
            if payload:
                if not await _send_before_timeout(send, payload):
                    return
                sent_at = time.monotonic()
            else:
                await self._hub.wait(max(0.0, KEEPALIVE_INTERVAL_S - (time.monotonic() - sent_at)))
        await _send_before_timeout(send, b"", more=False)


async def _send_before_timeout(send: Send, payload: bytes, *, more: bool = True) -> bool:
    """Return whether the client accepted the data in time."""
    try:
        async with asyncio.timeout(STALL_TIMEOUT_S):
            await send({"type": "http.response.body", "body": payload, "more_body": more})
    except TimeoutError:
        logger.warning("an event stream accepted nothing for %.0f s and was closed", STALL_TIMEOUT_S)
        return False
    return True


async def _wait_for_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
