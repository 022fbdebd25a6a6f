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
from bertd.jobs.store.row_filters import ANY_EVENT, EventFilter
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
        self.statuses: list[int] = []
        self.may_take = asyncio.Event()
        self.has_left = asyncio.Event()
        self.uid = 0

    def happen(self, count: int, *, type: str = "x") -> None:
        """Append `count` events at once."""
        with self.database.transaction():
            for _ in range(count):
                self.log.append(type, "y", now=0.0, job_id=None, run_id=None, data={})

    async def receive(self) -> Message:
        """The client's side: it disconnects when the test says so."""
        await self.has_left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """The client's side: it takes a frame when it may."""
        if message["type"] == "http.response.start":
            self.statuses.append(message["status"])
        elif message["type"] == "http.response.body":
            await self.may_take.wait()
            self.got.append(message["body"])

    def connect(self, *, since: int, where: EventFilter = ANY_EVENT) -> asyncio.Task[None]:
        """Serve the client."""
        response = EventResponse(self.hub, uid=self.uid, since=since, build_status=lambda: status("fresh"), where=where)
        return asyncio.create_task(response({"type": "http"}, self.receive, self.send))

    def ids(self) -> list[int]:
        """Of the events it got."""
        return self._ids_of(b"event")

    def tick_ids(self) -> list[int]:
        """Of the ticks it got."""
        return self._ids_of(b"tick")

    def _ids_of(self, kind: bytes) -> list[int]:
        frames = [content.splitlines() for content in b"".join(self.got).split(b"\n\n")]
        return [int(lines[0].removeprefix(b"id: ")) for lines in frames if b"event: " + kind in lines[1:2]]


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


async def test_a_burst_of_requests_gets_no_stream_more_than_one_may_have(bench: Bench) -> None:
    bench.uid = 54321
    bench.may_take.set()
    # All of them begin before one has sent its first byte.
    burst = [bench.connect(since=0) for _ in range(event_stream.MAX_STREAMS_PER_UID + 5)]
    await settled()
    assert sorted(bench.statuses) == [200] * event_stream.MAX_STREAMS_PER_UID + [429] * 5
    assert bench.hub.streams_by_uid == {54321: event_stream.MAX_STREAMS_PER_UID}
    bench.has_left.set()
    await asyncio.gather(*burst)
    assert bench.hub.streams_by_uid == {}, "nothing is kept of a user who has left"


async def test_a_client_that_leaves_before_the_answer_leaves_no_stream_behind(bench: Bench) -> None:
    async def broken(message: Message) -> None:
        raise OSError("it left")

    response = EventResponse(bench.hub, uid=54321, since=0, build_status=lambda: status("fresh"))
    with pytest.raises(OSError, match="it left"):
        await response({"type": "http"}, bench.receive, broken)
    assert bench.hub.num_streams == 0


async def test_a_filtered_stream_has_what_was_asked_for_and_resumes_exactly(bench: Bench) -> None:
    for _ in range(400):
        bench.happen(2)
        bench.happen(1, type="alert")
    bench.may_take.set()
    where = EventFilter(types=("alert",))
    serving = bench.connect(since=600, where=where)
    await settled()
    assert bench.ids() == list(range(603, 1201, 3)), "more than a page, and none that is not an alert"
    bench.happen(2)
    bench.hub.publish_tick(status("quiet"))
    await settled()
    assert bench.tick_ids()[-1] == 1202, "the client knows how far the daemon has looked"
    bench.has_left.set()
    await serving
    bench.happen(1, type="alert")
    bench.has_left.clear()
    bench.got.clear()
    serving = bench.connect(since=1202, where=where)
    await settled()
    bench.happen(1, type="alert")
    await settled()
    assert bench.ids() == [1203, 1204]
    bench.has_left.set()
    await serving


@pytest.mark.parametrize("types", [("alert",), ("alert", "x"), ("none",), ()])
async def test_wherever_a_client_leaves_and_resumes_it_gets_each_event_once(
    bench: Bench, types: tuple[str, ...]
) -> None:
    where, seen, last_id = EventFilter(types=types), list[int](), 0
    bench.may_take.set()
    for number in range(40):
        bench.got.clear()
        bench.has_left.clear()
        serving = bench.connect(since=last_id, where=where)
        bench.happen(number % 4)
        await settled()
        bench.happen(1 + number % 2, type="alert")
        if number % 3 == 0:
            bench.hub.publish_tick(status("t"))
        if number % 5 != 0:
            await settled()
        bench.has_left.set()
        await serving
        seen += bench.ids()
        last_id = max([last_id, *bench.ids(), *bench.tick_ids()])
        bench.happen(1)
        bench.happen(1, type="alert")
    bench.has_left.clear()
    bench.got.clear()
    serving = bench.connect(since=last_id, where=where)
    await settled()
    bench.has_left.set()
    await serving
    asked_for = [event.id for event in bench.log.since(0, limit=10_000) if not types or event.type in types]
    assert seen + bench.ids() == asked_for
