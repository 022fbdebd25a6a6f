"""HTTP connections: the identity of the peer, timeouts, and limits on their number.

uvicorn itself never times out a client that sends its request byte by byte, or nothing. This is the only module
that touches its protocol class; tests/daemon/api/test_connections.py checks what it relies on.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from http import HTTPStatus
from typing import Any

import h11
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from bertd.api.problem import PROBLEM_MEDIA_TYPE, build_problem
from bertd.api.version import API_VERSION, API_VERSION_HEADER
from bertd.jobs.store.audit import Peer
from bertd.run.machine.trusted_folders import is_root_or_own

logger = logging.getLogger(__name__)

HEADER_TIMEOUT_S = 5.0
"""Longest time from the connection, or the first byte of a later request, to the end of its headers."""
BODY_TIMEOUT_S = 10.0
"""Longest time from the headers to the end of the body."""
IDLE_TIMEOUT_S = 5
"""Longest silence between two requests."""
MAX_CONNECTIONS = 384
MAX_CONNECTIONS_PER_UID = 64
"""Connections of one uid that is neither root nor the daemon's."""


def _refusal(status: int, code: str, message: str) -> bytes:
    """A whole answer, for what is not a request of HTTP."""
    body = build_problem(status, code=code, detail=message).model_dump_json().encode()
    head = (
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nConnection: close\r\nContent-Type: {PROBLEM_MEDIA_TYPE}\r\n"
        f"{API_VERSION_HEADER}: {API_VERSION}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def read_peer(channel: socket.socket) -> Peer:
    """The process that connected, according to the kernel."""
    pid, uid, gid = struct.unpack("3i", channel.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return Peer(uid=uid, gid=gid, pid=pid)


class PeerConnection(H11Protocol):
    """uvicorn's connection with deadlines; the request's state holds `peer`."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._deadline: asyncio.TimerHandle | None = None
        self._awaited_part = ""
        self._peer: Peer | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn's own narrowing
        """Store the peer, and refuse it if there are too many connections."""
        super().connection_made(transport)
        self._peer = read_peer(transport.get_extra_info("socket"))
        self.app_state = {**self.app_state, "peer": self._peer}
        if self._exceeds_connection_limit(self._peer):
            message = "bertd: too many connections; close some and try again"
            transport.write(_refusal(503, "DaemonError", message))
            transport.close()
            return
        self._start_deadline("headers", HEADER_TIMEOUT_S)

    def _exceeds_connection_limit(self, peer: Peer) -> bool:
        if len(self.connections) > MAX_CONNECTIONS:
            return True
        if is_root_or_own(peer.uid):
            return False
        peers = [other._peer for other in self.connections if isinstance(other, PeerConnection)]
        same_uid_peers = [other for other in peers if other is not None and other.uid == peer.uid]
        return len(same_uid_peers) > MAX_CONNECTIONS_PER_UID

    def data_received(self, data: bytes) -> None:
        """Parse the data, and set the deadline of the part that is still missing."""
        super().data_received(data)
        match self.conn.their_state:
            case h11.SEND_BODY:
                self._start_deadline("body", BODY_TIMEOUT_S)
            case h11.IDLE:
                self._start_deadline("headers", HEADER_TIMEOUT_S)
            case _:
                self._start_deadline("", 0.0)

    def send_400_response(self, msg: str) -> None:
        """Refuse what is not HTTP, and close; a request before it on this connection gets no answer any more."""
        if self.cycle is not None:
            # Otherwise its answer would be sent to a connection that h11 has given up, which is logged as a bug.
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.write(_refusal(400, "ClientError", msg))
        self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the deadline."""
        self._start_deadline("", 0.0)
        super().connection_lost(exc)

    def _start_deadline(self, what: str, limit_s: float) -> None:
        """Set the deadline of a part; one for the same part is kept, so that single bytes do not extend it."""
        if what == self._awaited_part:
            return
        self._awaited_part = what
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = self.loop.call_later(limit_s, self._abort_late_client) if what else None

    def _abort_late_client(self) -> None:
        if not self.transport.is_closing():
            logger.info("closed a connection of %s: its %s did not arrive in time", self._peer, self._awaited_part)
            self.transport.abort()
