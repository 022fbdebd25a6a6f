"""The event stream against clients of every speed, without sockets."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.types import Message

from bertd.api.models import StatusView, VersionView
from bertd.daemon.api import event_stream
from bertd.daemon.api.event_stream import EventHub, EventResponse
from bertd.jobs.store.database import Database
from bertd.jobs.store.event_log import EventLog
from tests.waiting import PATIENCE_S


def status(state_dir: str) -> StatusView:
    version = VersionView(bertd="0", api=1, pid=1, state_dir=state_dir, started_t=0)
    return StatusView(version=version, runs=[], jobs=[], devices=[], events=[])


class Bench:
    """A hub over a real log, and one client that takes frames only when the test lets it."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.log = EventLog(database)
        self.hub = EventHub(self.log)
        database.after_commit = self.hub.on_commit
        self.got: list[bytes] = []
        self.may_take = asyncio.Event()
        self.has_left = asyncio.Event()
        self.uid = 0

    def happen(self, count: int) -> None:
        """Append `count` events at once."""
        with self.database.transaction():
            for _ in range(count):
                self.log.append("x", "y", now=0.0, job_id=None, run_id=None, data={})

    async def receive(self) -> Message:
        """The client's side: it disconnects when the test says so."""
        await self.has_left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """The client's side: it takes a frame when it may."""
        if message["type"] == "http.response.body":
            await self.may_take.wait()
            self.got.append(message["body"])

    def connect(self, *, since: int) -> asyncio.Task[None]:
        """Serve the client."""
        response = EventResponse(self.hub, uid=self.uid, since=since, build_status=lambda: status("fresh"))
        return asyncio.create_task(response({"type": "http"}, self.receive, self.send))

    def ids(self) -> list[int]:
        """Of the events it got."""
        lines = b"".join(self.got).splitlines()
        return [int(line.removeprefix(b"id: ")) for line in lines if line.startswith(b"id: ")]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    database = Database(tmp_path / "queue.db")
    yield Bench(database)
    database.close()


async def settled() -> None:
    """Wait until no task can continue."""
    for _ in range(50):
        await asyncio.sleep(0)


async def test_a_slow_client_gets_every_event_and_the_newest_tick_alone(bench: Bench) -> None:
    serving = bench.connect(since=0)
    await settled()
    for number in range(5):
        bench.happen(500)
        bench.hub.publish_tick(status(f"tick-{number}"))
        await settled()
    bench.may_take.set()
    while len(bench.ids()) < 2500:
        await asyncio.sleep(0)
    await settled()
    assert bench.ids() == list(range(1, 2501)), "more than the hub keeps in memory"
    everything = b"".join(bench.got)
    assert b"tick-4" in everything
    assert b"tick-3" not in everything
    bench.has_left.set()
    await serving
    assert bench.hub.num_streams == 0


async def test_a_client_that_takes_nothing_is_disconnected(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_stream, "STALL_TIMEOUT_S", 0.05)
    await asyncio.wait_for(bench.connect(since=0), PATIENCE_S)
    assert bench.got == []
    assert bench.hub.num_streams == 0


async def test_a_quiet_stream_beats(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_stream, "KEEPALIVE_INTERVAL_S", 0.05)
    bench.may_take.set()
    serving = bench.connect(since=0)
    while b": still here\n\n" not in bench.got:
        await asyncio.sleep(0.01)
    bench.has_left.set()
    await asyncio.wait_for(serving, PATIENCE_S)
    assert bench.hub.num_streams == 0


async def test_the_first_tick_is_fresh(bench: Bench) -> None:
    bench.may_take.set()
    serving = bench.connect(since=0)
    await settled()
    assert b"fresh" in bench.got[0]
    bench.has_left.set()
    await serving


async def test_an_id_from_the_future_is_taken_for_the_newest(bench: Bench) -> None:
    bench.happen(3)
    bench.may_take.set()
    serving = bench.connect(since=10_000)
    await settled()
    bench.happen(2)
    await settled()
    assert bench.ids() == [4, 5]
    bench.hub.close()
    await serving


async def test_closing_the_hub_ends_the_streams(bench: Bench) -> None:
    bench.may_take.set()
    serving = bench.connect(since=0)
    await settled()
    bench.hub.close()
    await asyncio.wait_for(serving, PATIENCE_S)
    assert bench.hub.num_streams == 0


async def test_a_user_has_a_number_of_streams_and_gets_it_back(bench: Bench) -> None:
    bench.uid = 54321
    streams = [bench.connect(since=0) for _ in range(event_stream.MAX_STREAMS_PER_UID)]
    await settled()
    assert not bench.hub.has_room_for(54321)
    assert bench.hub.has_room_for(54322) and bench.hub.has_room_for(0) and bench.hub.has_room_for(os.getuid())
    bench.has_left.set()
    await asyncio.gather(*streams)
    assert bench.hub.has_room_for(54321)
    assert bench.hub.num_streams == 0
