"""The client side of the event stream: server-sent events over the socket, parsed to records.

Lines of `field: value`; an empty line ends an event: https://html.spec.whatwg.org/#server-sent-events
"""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self
from urllib.parse import urlencode

from pydantic import ValidationError

from bertd.api.http import (
    DISCONNECT_ERRORS,
    TIMEOUT_S,
    SocketConnection,
    bad_response_message,
    check_response,
    disconnect_message,
    translate_connection_errors,
)
from bertd.api.models import EventView, StatusView
from bertd.errors import BertdError, ClientError, DaemonUnreachableError

STREAM_TIMEOUT_S = 20.0
"""Longest wait for a whole line of an event stream: the daemon sends a comment every 15 s."""
MAX_LINE_BYTES = 16 << 20
"""Longest line of an event stream; a longer one ends the stream."""

_EVENT_MODELS: dict[str, type[EventView] | type[StatusView]] = {"event": EventView, "tick": StatusView}


class EventStream:
    """Events and ticks as they happen: iterate in one thread, `close` from any.

    The iteration ends after `close`. It raises DaemonUnreachableError when the daemon closes the connection; to
    continue, open a new stream with `since=stream.last_id`.
    """

    def __init__(self, path: Path, *, since: int | None, query: Sequence[tuple[str, str]] = ()) -> None:
        """Connect.

        Args:
            query: which events the daemon sends; all without it.

        Raises:
            DaemonUnreachableError: no daemon answers.
            BertdError: the daemon refused.
        """
        self.last_id = since
        """Id of the newest event that the daemon sent or passed over; None before the first event or tick."""
        self._path = path
        self._is_closed = False
        self._newest_id: int | None = None
        """Of the newest event or tick; an earlier bertd sends none with ticks."""
        self._connection = SocketConnection(path, timeout_s=TIMEOUT_S)
        try:
            arguments = [*query] + ([] if since is None else [("since", str(since))])
            self._open(f"?{urlencode(arguments)}" if arguments else "")
        except DISCONNECT_ERRORS as error:
            self._connection.close()
            raise DaemonUnreachableError(disconnect_message(path)) from error
        except BertdError:
            self._connection.close()
            raise

    def _open(self, query: str) -> None:
        with translate_connection_errors(self._path, "GET /v1/events", timeout_s=TIMEOUT_S):
            self._connection.request("GET", f"/v1/events{query}", headers={"Accept": "text/event-stream"})
            # The connection may hand the socket over to the response and drop it; `close` needs it.
            self._socket = self._connection.sock
            self._response = self._connection.getresponse()
            content = self._response.read() if self._response.status != 200 else b""
        check_response(self._response, content, path=self._path)

    def __iter__(self) -> Iterator[EventView | StatusView]:
        return self

    def __next__(self) -> EventView | StatusView:
        """Wait for the next event or tick.

        Raises:
            StopIteration: the stream was closed.
            DaemonUnreachableError: the daemon closed the connection or sent nothing for STREAM_TIMEOUT_S.
            ClientError: an event could not be parsed.
            BertdError: base class of both of the above; any other exception is a bug.
        """
        try:
            with translate_connection_errors(self._path, "the event stream", timeout_s=STREAM_TIMEOUT_S):
                item = self._next_item()
        except DISCONNECT_ERRORS:
            item = None
        except BertdError:
            self._release()
            if self._is_closed:
                raise StopIteration from None
            raise
        if item is None:
            self._release()
            if self._is_closed:
                raise StopIteration
            raise DaemonUnreachableError(disconnect_message(self._path))
        if isinstance(item, EventView):
            self.last_id = item.id
        elif self._newest_id is not None:
            self.last_id = self._newest_id
        return item

    def close(self) -> None:
        """End the iteration, from any thread; a second call does nothing."""
        self._is_closed = True
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # The daemon has closed the connection already, or this is the second call.

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
        self._release()

    def _release(self) -> None:
        self._response.close()
        self._connection.close()

    def _next_item(self) -> EventView | StatusView | None:
        """The next item of a known type; None at the end of the stream."""
        event = ""
        data: list[bytes] = []
        while line := self._read_line():
            if not line.endswith(b"\n"):
                return None
            field, _, value = line.rstrip(b"\r\n").partition(b":")
            value = value.removeprefix(b" ")
            if field == b"id" and value.isdigit():
                self._newest_id = int(value)
            elif field == b"event":
                event = value.decode()
            elif field == b"data":
                data.append(value)
            elif line in (b"\n", b"\r\n"):
                if data and event in _EVENT_MODELS:
                    return self._parse(_EVENT_MODELS[event], b"\n".join(data))
                event, data = "", []
        return None

    def _read_line(self) -> bytes:
        self._connection.allow(STREAM_TIMEOUT_S)
        return self._response.readline(MAX_LINE_BYTES)

    def _parse(self, model: type[EventView] | type[StatusView], content: bytes) -> EventView | StatusView:
        try:
            return model.model_validate_json(content)
        except ValidationError as error:
            raise ClientError(bad_response_message(self._path, error)) from error
