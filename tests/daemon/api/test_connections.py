"""The daemon's connection class over uvicorn's."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from bertd.daemon.api import connections
from bertd.daemon.api.accounts import Accounts
from bertd.daemon.api.connections import PeerConnection
from bertd.daemon.api.event_stream import MAX_STREAMS_PER_UID, EventHub
from bertd.daemon.process.listener import bind_socket
from bertd.jobs.store.audit import Peer
from tests.waiting import PATIENCE_S

LIMIT_S = 0.4
seen: list[Peer] = []


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Read the body, store the peer, answer."""
    while (message := await receive()).get("more_body"):
        pass
    if message["type"] == "http.disconnect":
        return
    seen.append(scope["state"]["peer"])
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


@pytest.fixture
async def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Path]:
    """A listening server."""
    monkeypatch.setattr(connections, "HEADER_TIMEOUT_S", PATIENCE_S)
    monkeypatch.setattr(connections, "BODY_TIMEOUT_S", PATIENCE_S)
    config = uvicorn.Config(
        app,
        http=PeerConnection,
        lifespan="off",
        ws="none",
        log_config=None,
        timeout_keep_alive=round(PATIENCE_S),
        loop="asyncio",
    )
    server = uvicorn.Server(config)
    listening = bind_socket(tmp_path / "s")
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    yield tmp_path / "s"
    server.should_exit = True
    await serving


async def dawdle(path: Path, *, first: bytes, drop: bytes) -> None:
    """Send a byte now and then, until the server closes; the request never becomes complete."""
    reader, writer = await asyncio.open_unix_connection(str(path))
    writer.write(first)
    closed = asyncio.create_task(_read_all(reader))
    while not closed.done():
        writer.write(drop)
        await asyncio.wait((closed,), timeout=LIMIT_S / 4)
    writer.close()


async def _read_all(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read()
    except ConnectionResetError:
        return b""


@pytest.mark.parametrize(
    ("first", "drop"),
    [
        (b"", b""),
        (b"GET / HTTP/1.1\r\n", b"X"),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n\r\n", b"x"),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\n", b"X"),
    ],
    ids=["silence", "headers by drops", "body by drops", "a second request by drops"],
)
async def test_who_dawdles_is_closed_on(
    path: Path, first: bytes, drop: bytes, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(connections, "HEADER_TIMEOUT_S", LIMIT_S)
    monkeypatch.setattr(connections, "BODY_TIMEOUT_S", LIMIT_S)
    await asyncio.wait_for(dawdle(path, first=first, drop=drop), PATIENCE_S)
    (said,) = [record.getMessage() for record in caplog.records if record.name == connections.__name__]
    assert said.startswith("closed a connection of ") and said.endswith("did not arrive in time")


async def test_who_is_quick_is_served_more_than_once(path: Path) -> None:
    reader, writer = await asyncio.open_unix_connection(str(path))
    for _ in range(2):
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 204")
    writer.close()


async def test_the_request_knows_its_peer_by_the_kernels_word(path: Path) -> None:
    seen.clear()
    reader, writer = await asyncio.open_unix_connection(str(path))
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    await reader.readuntil(b"\r\n\r\n")
    writer.close()
    assert seen == [Peer(uid=os.getuid(), gid=os.getgid(), pid=os.getpid())]


def test_the_effective_user_is_the_daemons_everywhere_and_not_the_real_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 54321)
    monkeypatch.setattr("os.getuid", lambda: 54322)
    assert Accounts().is_operator(Peer(uid=54321, gid=54321, pid=1))
    assert not Accounts().is_operator(Peer(uid=54322, gid=54322, pid=1))
    hub = EventHub.__new__(EventHub)
    hub.streams_by_uid = Counter({54321: 1_000, 54322: MAX_STREAMS_PER_UID})
    assert hub.has_room_for(54321) and not hub.has_room_for(54322)


def test_the_peer_of_a_pair_of_sockets_is_this_process() -> None:
    here, there = socket.socketpair(socket.AF_UNIX)
    with here, there:
        assert connections.read_peer(here) == Peer(uid=os.getuid(), gid=os.getgid(), pid=os.getpid())
