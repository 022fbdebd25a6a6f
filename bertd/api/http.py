"""HTTP over a Unix socket; an error names the socket and the remedy."""

from __future__ import annotations

import http.client
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import ValidationError

import bertd
from bertd import errors
from bertd.api.models import API_VERSION, ErrorView
from bertd.errors import BertdError, ClientError, DaemonUnreachableError

TIMEOUT_S = 10.0
"""For the connection and for each wait for bytes of an answer."""
VERSION_HEADER = "Bertd-Api-Version"

DISCONNECT_ERRORS = (ConnectionResetError, BrokenPipeError, http.client.RemoteDisconnected, http.client.IncompleteRead)
"""The daemon went away in the middle of a request; whether it was done is not known."""


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
