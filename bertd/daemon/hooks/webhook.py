"""Deliver an event by an HTTP POST: to a URL, or through a Unix socket. No redirect is followed, no proxy used."""

from __future__ import annotations

import http.client
import ipaddress
import socket as sockets
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

from bertd.errors import DeliveryError

_RETRIED_STATUSES = frozenset((408, 425, 429))
"""And those of 500 and above."""


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, *, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = sockets.socket(sockets.AF_UNIX, sockets.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def is_loopback(host: str) -> bool:
    """Whether a URL's host is this machine, by its name alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def post_to_url(url: str, body: bytes, headers: Mapping[str, str], *, timeout_s: float) -> str:
    """POST to a URL; returns the answer in words.

    Raises:
        DeliveryError: no connection, no answer in time, or another status than 2xx.
    """
    parts = urlsplit(url)
    connect = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = connect(parts.hostname or "", parts.port, timeout=timeout_s)
    target = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
    # Neither path nor query: they are the secret of many a webhook.
    return _post(connection, target, body, headers, place=f"{parts.scheme}://{parts.netloc}", timeout_s=timeout_s)


def post_to_socket(path: str, body: bytes, headers: Mapping[str, str], *, timeout_s: float) -> str:
    """POST / through a Unix socket; raises what `post_to_url` does."""
    return _post(_UnixConnection(path, timeout=timeout_s), "/", body, headers, place=path, timeout_s=timeout_s)


def _post(
    connection: http.client.HTTPConnection,
    target: str,
    body: bytes,
    headers: Mapping[str, str],
    *,
    place: str,
    timeout_s: float,
) -> str:
    started = time.monotonic()
    sent = {"Content-Type": "application/json", "User-Agent": "bertd", "Connection": "close", **headers}
    try:
        with _time_limit(connection, timeout_s) as is_over:
            connection.request("POST", target, body=body, headers=sent)
            response = connection.getresponse()
        if is_over.is_set():
            # A header that was cut off looks like the last one.
            raise TimeoutError
    except (OSError, http.client.HTTPException, ValueError) as error:
        if time.monotonic() - started >= timeout_s:
            raise DeliveryError(f"{place}: no answer within {timeout_s:g} s", may_retry=True) from error
        problem = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise DeliveryError(f"{place}: {problem}", may_retry=True) from error
    finally:
        connection.close()
    if not 200 <= response.status < 300:
        is_passing = response.status in _RETRIED_STATUSES or response.status >= 500
        raise DeliveryError(f"{place}: answered {response.status}", may_retry=is_passing)
    return f"answered {response.status} after {time.monotonic() - started:.1f} s"


@contextmanager
def _time_limit(connection: http.client.HTTPConnection, timeout_s: float) -> Iterator[threading.Event]:
    """Break the connection after so long in all: a socket's own timeout begins again with each byte.

    Yields:
        An event that is set once it was.
    """
    is_over = threading.Event()

    def break_off() -> None:
        is_over.set()
        with suppress(OSError):
            if connection.sock is not None:
                connection.sock.shutdown(sockets.SHUT_RDWR)

    timer = threading.Timer(timeout_s, break_off)
    timer.daemon = True
    timer.start()
    try:
        yield is_over
    finally:
        timer.cancel()
