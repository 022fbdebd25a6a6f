"""HTTP and server-sent events over a Unix socket; what goes wrong with them names the socket and the remedy.

An event stream is lines of `field: value`, an empty line ends an event: https://html.spec.whatwg.org/#server-sent-events
"""

from __future__ import annotations

import http.client
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from pydantic import ValidationError

import bertd
from bertd import errors
from bertd.api.models import API_VERSION, ErrorView, EventView, StatusView
from bertd.errors import BertdError, ClientError, DaemonUnreachableError

TIMEOUT_S = 10.0
"""For the connection and for each wait for bytes of an answer."""
STREAM_TIMEOUT_S = 20.0
"""Longest silence on an event stream: the daemon sends a comment every 15 s."""
MAX_LINE_BYTES = 16 << 20
"""Longest line of an event stream that is believed."""
VERSION_HEADER = "Bertd-Api-Version"

DISCONNECT_ERRORS = (ConnectionResetError, BrokenPipeError, http.client.RemoteDisconnected, http.client.IncompleteRead)
"""The daemon went away in the middle of a request; whether it was done is not known."""

_EVENT_MODELS: dict[str, type[EventView] | type[StatusView]] = {"event": EventView, "tick": StatusView}


class SocketConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path, *, timeout_s: float) -> None:
        super().__init__("bertd", timeout=timeout_s)
        self._path = path
        self._timeout_s = timeout_s

    def connect(self) -> None:
        """Open the socket.

        Raises:
            DaemonUnreachableError: nobody listens there, or may not be spoken to.
        """
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        # Not settimeout: a non-blocking connect fails at once, with EAGAIN, where many clients wait to be accepted.
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", int(self._timeout_s), 0))
        try:
            self.sock.connect(str(self._path))
            self.sock.settimeout(self._timeout_s)
        except PermissionError as error:
            raise DaemonUnreachableError(f"{self._path}: permission denied; {_access_hint(self._path)}") from error
        except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError) as error:
            raise DaemonUnreachableError(
                f"{self._path}: no daemon listens there; start one with `bertd start`, or say where with --socket"
            ) from error
        except (OSError, ValueError) as error:
            raise DaemonUnreachableError(f"{self._path}: cannot connect: {error}; say where with --socket") from error


def _access_hint(path: Path) -> str:
    import grp

    try:
        group = grp.getgrgid(path.stat().st_gid).gr_name
    except (OSError, KeyError):
        return "its folder is closed to you; ask whoever runs the daemon"
    return f"you are not in group {group!r}, to whom the socket belongs; ask whoever runs the daemon to add you"


def disconnect_message(path: Path) -> str:
    """What to say of a daemon that went away in the middle."""
    return f"{path}: the daemon broke off the connection; see whether it still runs"


def bad_response_message(path: Path, error: Exception) -> str:
    """What to say of an answer that is HTTP, but not what this bertd reads."""
    return f"{path}: the daemon's answer is not of bertd {bertd.__version__}: {str(error).splitlines()[0]}"


def check_response(response: http.client.HTTPResponse, content: bytes, *, path: Path) -> None:
    """Raise what the daemon refused with, or what keeps both sides from understanding each other.

    Raises:
        ClientError: no daemon, another API version, or a refusal of a class unknown here.
    """
    daemon_api = response.getheader(VERSION_HEADER, "")
    if daemon_api.isdecimal() and int(daemon_api) != API_VERSION:
        side = "this command" if int(daemon_api) > API_VERSION else "the daemon, then restart it"
        raise ClientError(f"{path}: the daemon speaks API {daemon_api}, this bertd API {API_VERSION}; upgrade {side}")
    is_success = 200 <= response.status < 300
    if is_success and daemon_api.isdecimal():
        return
    try:
        refusal = ErrorView.model_validate_json(content)
    except ValidationError:
        what = f"{response.status} {response.reason}: {content[:200].decode(errors='replace').strip()}"
        raise ClientError(f"{path}: whoever listens there does not answer as a bertd daemon: {what}") from None
    raise _error_class(refusal.code)(refusal.message)


def _error_class(code: str) -> type[BertdError]:
    """The class the daemon raised; ClientError for one that this bertd does not know."""
    found = getattr(errors, code, None)
    return found if isinstance(found, type) and issubclass(found, BertdError) else ClientError


@contextmanager
def translate_connection_errors(path: Path, what: str, *, timeout_s: float) -> Iterator[None]:
    """Turn what a connection raises into a BertdError; BROKEN passes, for a caller that can try again.

    Raises:
        DaemonUnreachableError: no answer in time.
        ClientError: the answer is not HTTP.
    """
    try:
        yield
    except DISCONNECT_ERRORS:
        raise
    except TimeoutError as error:
        raise DaemonUnreachableError(
            f"{path}: {what}: no answer in {timeout_s:g} s; the daemon hangs or the machine is overloaded; try again"
        ) from error
    except (http.client.HTTPException, OSError) as error:
        raise ClientError(f"{path}: whoever listens there is no bertd daemon: {error!r}") from error


def send_request(path: Path, method: str, target: str, *, body: bytes | None, headers: dict[str, str]) -> bytes:
    """One request on a connection of its own; the body of the answer.

    Raises:
        BertdError: what the daemon refused with, or why nobody answers.
    """
    connection = SocketConnection(path, timeout_s=TIMEOUT_S)
    try:
        with translate_connection_errors(path, f"{method} {target}", timeout_s=TIMEOUT_S):
            connection.request(method, target, body=body, headers=headers)
            response = connection.getresponse()
            content = response.read()
    finally:
        connection.close()
    check_response(response, content, path=path)
    return content


class EventStream:
    """Events and ticks as they happen: iterate in one thread, `close` from any.

    The iteration ends after `close`. It raises DaemonUnreachableError when the daemon goes away; whoever wants to go
    on asks for a new stream with `since=stream.last_id`.
    """

    def __init__(self, path: Path, *, since: int | None) -> None:
        """Connect.

        Raises:
            DaemonUnreachableError: nobody answers.
            BertdError: what the daemon refused with.
        """
        self.last_id = since
        """Id of the newest event that was given out; None before the first."""
        self._path = path
        self._is_closed = False
        self._connection = SocketConnection(path, timeout_s=TIMEOUT_S)
        try:
            self._open("" if since is None else f"?since={since}")
        except DISCONNECT_ERRORS as error:
            self._connection.close()
            raise DaemonUnreachableError(disconnect_message(path)) from error
        except BertdError:
            self._connection.close()
            raise

    def _open(self, query: str) -> None:
        with translate_connection_errors(self._path, "GET /v1/events", timeout_s=TIMEOUT_S):
            self._connection.request("GET", f"/v1/events{query}", headers={"Accept": "text/event-stream"})
            # The response may take the socket over and the connection forget it; `close` needs it.
            self._socket = self._connection.sock
            self._response = self._connection.getresponse()
            content = self._response.read() if self._response.status != 200 else b""
        check_response(self._response, content, path=self._path)
        self._socket.settimeout(STREAM_TIMEOUT_S)

    def __iter__(self) -> Iterator[EventView | StatusView]:
        return self

    def __next__(self) -> EventView | StatusView:
        """Wait for the next event or tick.

        Raises:
            StopIteration: the stream was closed.
            DaemonUnreachableError: the daemon went away or fell silent.
            ClientError: an event could not be understood.
            BertdError: either of them.
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
        return item

    def close(self) -> None:
        """End the iteration, from any thread; twice is once."""
        self._is_closed = True
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # The daemon was faster, or this is the second call.

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
        while line := self._response.readline(MAX_LINE_BYTES):
            if not line.endswith(b"\n"):
                return None
            field, _, value = line.rstrip(b"\r\n").partition(b":")
            value = value.removeprefix(b" ")
            if field == b"event":
                event = value.decode()
            elif field == b"data":
                data.append(value)
            elif line in (b"\n", b"\r\n"):
                if data and event in _EVENT_MODELS:
                    return self._parse(_EVENT_MODELS[event], b"\n".join(data))
                event, data = "", []
        return None

    def _parse(self, model: type[EventView] | type[StatusView], content: bytes) -> EventView | StatusView:
        try:
            return model.model_validate_json(content)
        except ValidationError as error:
            raise ClientError(bad_response_message(self._path, error)) from error
