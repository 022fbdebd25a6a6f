"""HTTP requests over a Unix socket, with errors that name the socket and the remedy."""

from __future__ import annotations

import http.client
import math
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bertd
from bertd.api.version import API_VERSION, API_VERSION_HEADER, VERSION_HEADER
from bertd.errors import ClientError, DaemonUnreachableError
from bertd.run.machine.trusted_folders import is_listener_trusted, user_name

TIMEOUT_S = 10.0
"""For a whole answer: connecting, sending the request, and the last byte of the response."""

_LOOK_FIRST = "it does nothing for this request from here on; look with `bertd jobs`, then repeat it"
"""A change whose answer is missing was made before the silence, or never: see `_read_mutation` of the daemon."""

DISCONNECT_ERRORS = (ConnectionResetError, BrokenPipeError, http.client.RemoteDisconnected, http.client.IncompleteRead)
"""The daemon closed the connection during a request; whether it was done is not known."""


class _TimedSocket(socket.socket):
    """Waits for bytes until a moment, so that a peer which sends one now and then cannot hold the reader."""

    deadline_s = math.inf
    """CLOCK_MONOTONIC."""

    def recv_into(self, *arguments: Any) -> int:
        """Receive, as http.client's reader does.

        Raises:
            TimeoutError: the moment has passed.
        """
        left_s = self.deadline_s - time.monotonic()
        if left_s <= 0:
            raise TimeoutError("timed out")
        self.settimeout(left_s)
        return super().recv_into(*arguments)


class SocketConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path, *, timeout_s: float) -> None:
        super().__init__("bertd", timeout=timeout_s)
        self._path = path
        self._timeout_s = timeout_s

    def allow(self, seconds: float) -> None:
        """Wait this long for all that is read from here on, until the next call."""
        self._socket.deadline_s = time.monotonic() + seconds

    def connect(self) -> None:
        """Open the socket.

        Raises:
            DaemonUnreachableError: no process listens there, or the user has no permission to connect.
            ClientError: another user listens there than the path says.
        """
        self.sock = self._socket = _TimedSocket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.allow(self._timeout_s)
        # Not settimeout: a non-blocking connect fails at once with EAGAIN when many clients wait to be accepted.
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", int(self._timeout_s), 0))
        try:
            self.sock.connect(str(self._path))
            self.sock.settimeout(self._timeout_s)
            self._check_listener(self.sock)
        except PermissionError as error:
            raise DaemonUnreachableError(f"{self._path}: permission denied; {_access_hint(self._path)}") from error
        except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError) as error:
            raise DaemonUnreachableError(
                f"{self._path}: no daemon listens there; start one with `bertd start`, or name its socket with --socket"
            ) from error
        except (OSError, ValueError) as error:
            raise DaemonUnreachableError(
                f"{self._path}: cannot connect: {error}; name the daemon's socket with --socket"
            ) from error

    def _check_listener(self, sock: socket.socket) -> None:
        """Refuse a process of another user: it would get recipes and commands, and its answers would be believed.

        Raises:
            ClientError: that user is not the one that the path names.
        """
        _, uid, _ = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        if not is_listener_trusted(self._path, uid=uid):
            sock.close()
            raise ClientError(
                f"{self._path}: {user_name(uid)} listens there, not you or root; if that daemon is meant, its socket "
                "must be in a folder of that user which nobody else may write, below folders of root"
            )


def _access_hint(path: Path) -> str:
    import grp

    try:
        group = grp.getgrgid(path.stat().st_gid).gr_name
    except (OSError, KeyError):
        return "you have no access to its folder; ask the owner of the daemon"
    return f"you are not in group {group!r}, to which the socket belongs; ask the owner of the daemon to add you"


def disconnect_message(path: Path) -> str:
    """The error message for one of DISCONNECT_ERRORS."""
    return f"{path}: the daemon closed the connection; check that it still runs"


def bad_response_message(path: Path, error: Exception) -> str:
    """The error message for a response that is HTTP, but that this bertd cannot parse."""
    from pydantic import ValidationError

    from bertd.validation_text import describe_problem

    problem = str(error).splitlines()[0]
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        problem = f"{'.'.join(str(part) for part in first['loc']) or 'its JSON'}: {describe_problem(first)}"
    return f"{path}: unexpected answer from the daemon (is it of this version, {bertd.__version__}?): {problem}"


def check_response(response: http.client.HTTPResponse, content: bytes, *, path: Path) -> None:
    """Raise the daemon's refusal, or an error if both sides do not speak the same API.

    Raises:
        ClientError: not a daemon, another API version, or a refusal of an unknown class.
    """
    daemon_api = response.getheader(API_VERSION_HEADER, "")
    if daemon_api.isdecimal() and int(daemon_api) != API_VERSION:
        side = "this command" if int(daemon_api) > API_VERSION else "the daemon, then restart it"
        raise ClientError(f"{path}: the daemon speaks API {daemon_api}, this bertd API {API_VERSION}; upgrade {side}")
    is_success = 200 <= response.status < 300
    if is_success and daemon_api.isdecimal():
        return
    from pydantic import ValidationError

    from bertd.api.models import ErrorView
    from bertd.api.problem import error_class

    try:
        refusal = ErrorView.model_validate_json(content)
    except ValidationError:
        what = f"{response.status} {response.reason}: {content[:200].decode(errors='replace').strip()}"
        raise ClientError(f"{path}: not a bertd daemon: {what}") from None
    raise error_class(refusal.code)(refusal.message)


@contextmanager
def translate_connection_errors(
    path: Path, what: str, *, timeout_s: float, remedy: str = "try again"
) -> Iterator[None]:
    """Turn what a connection raises into a BertdError; DISCONNECT_ERRORS pass, for a caller that can retry.

    Args:
        remedy: what a person can do when there was no answer.

    Raises:
        DaemonUnreachableError: no answer in time.
        ClientError: the response is not HTTP.
    """
    try:
        yield
    except DISCONNECT_ERRORS:
        raise
    except TimeoutError as error:
        raise DaemonUnreachableError(
            f"{path}: {what}: no answer in {timeout_s:g} s; the daemon hangs or the machine is overloaded; {remedy}"
        ) from error
    except (http.client.HTTPException, OSError) as error:
        raise ClientError(f"{path}: not a bertd daemon: {error!r}") from error


@dataclass(frozen=True)
class Response:
    """A daemon's answer that is not a refusal."""

    content: bytes
    bertd_version: str | None
    """Of the daemon; None if it is older than the header."""


def send_request(
    path: Path,
    method: str,
    target: str,
    *,
    body: bytes | None,
    headers: dict[str, str],
    timeout_s: float | None = None,
) -> Response:
    """Send one request on its own connection.

    Args:
        timeout_s: for connecting, and for each wait for bytes; None for TIMEOUT_S.

    Raises:
        BertdError: the daemon refused, or did not answer.
    """
    timeout_s = TIMEOUT_S if timeout_s is None else timeout_s
    connection = SocketConnection(path, timeout_s=timeout_s)
    try:
        remedy = "try again" if method == "GET" else _LOOK_FIRST
        with translate_connection_errors(path, f"{method} {target}", timeout_s=timeout_s, remedy=remedy):
            connection.request(method, target, body=body, headers=headers)
            response = connection.getresponse()
            content = response.read()
    finally:
        connection.close()
    check_response(response, content, path=path)
    return Response(content, bertd_version=response.getheader(VERSION_HEADER))
