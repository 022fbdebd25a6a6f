"""One HTTP connection: who is at its other end, how long it may dawdle, how many there may be.

uvicorn itself never times out a client that sends its request byte by byte, or nothing. This is the one place that
touches its protocol class; tests/daemon/test_connections.py holds what is relied on.
"""

from __future__ import annotations

import asyncio
import grp
import logging
import os
import pwd
import socket
import struct
import time
from typing import Any

import h11
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from bertd.jobs.audit import Peer

logger = logging.getLogger(__name__)

HEADER_S = 5.0
"""Longest time from the connection, or the first byte of a later request, to the end of its headers."""
BODY_S = 10.0
"""Longest time from the headers to the end of the body."""
IDLE_S = 5
"""Longest silence between two requests."""
MAX_CONNECTIONS = 384
MAX_PER_VIEWER = 64
"""Connections of one uid that is neither root nor the daemon's."""
OPERATORS_GROUP = "bertd-operators"
_CACHE_S = 60.0

_FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Type: application/json\r\n"
    b"Content-Length: %d\r\n\r\n%s"
)
_FULL_BODY = b'{"code":"DaemonError","message":"bertd: too many connections; close some and try again"}'


def peer_of(channel: socket.socket) -> Peer:
    """Who connected, as the kernel says."""
    pid, uid, gid = struct.unpack("3i", channel.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return Peer(uid=uid, gid=gid, pid=pid)


class Roles:
    """Operators may change things: root, the daemon's own user, and the members of a group. Others only look."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[float, bool]] = {}

    def is_operator(self, peer: Peer) -> bool:
        """Whether the peer may change things; a group's members are asked for once a minute."""
        if peer.uid in (0, os.getuid()):
            return True
        now = time.monotonic()
        asked_at, known = self._known.get(peer.uid, (-_CACHE_S, False))
        if now - asked_at >= _CACHE_S:
            known = _is_member(peer)
            self._known[peer.uid] = (now, known)
        return known


def _is_member(peer: Peer) -> bool:
    try:
        operators = grp.getgrnam(OPERATORS_GROUP).gr_gid
        user = pwd.getpwuid(peer.uid).pw_name
    except KeyError:
        return False
    return operators in os.getgrouplist(user, peer.gid)


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
        self._awaited = ""
        self._peer: Peer | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn's own narrowing
        """Note the peer, and turn it away where there are too many."""
        super().connection_made(transport)
        self._peer = peer_of(transport.get_extra_info("socket"))
        self.app_state = {**self.app_state, "peer": self._peer}
        if self._is_one_too_many(self._peer):
            transport.write(_FULL % (len(_FULL_BODY), _FULL_BODY))
            transport.close()
            return
        self._await("headers", HEADER_S)

    def _is_one_too_many(self, peer: Peer) -> bool:
        if len(self.connections) > MAX_CONNECTIONS:
            return True
        if peer.uid in (0, os.getuid()):
            return False
        others = [other._peer for other in self.connections if isinstance(other, PeerConnection)]
        same = [other for other in others if other is not None and other.uid == peer.uid]
        return len(same) > MAX_PER_VIEWER

    def data_received(self, data: bytes) -> None:
        """Read on, and set the clock for what is still missing."""
        super().data_received(data)
        match self.conn.their_state:
            case h11.SEND_BODY:
                self._await("body", BODY_S)
            case h11.IDLE:
                self._await("headers", HEADER_S)
            case _:
                self._await("", 0.0)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the clock."""
        self._await("", 0.0)
        super().connection_lost(exc)

    def _await(self, what: str, limit_s: float) -> None:
        """Start a clock for `what`; one that runs for the same thing runs on, so that drops of data do not wind it."""
        if what == self._awaited:
            return
        self._awaited = what
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = self.loop.call_later(limit_s, self._give_up) if what else None

    def _give_up(self) -> None:
        if not self.transport.is_closing():
            logger.info("closed a connection of %s: its %s did not come in time", self._peer, self._awaited)
            self.transport.abort()
