"""bertd.api.AsyncClient: the calls of Client, awaited; and the examples of docs/api.md, run as they stand there."""

from __future__ import annotations

import asyncio
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bertd import api
from bertd.api import AsyncClient, Client
from bertd.api.models import EventView, StatusView
from bertd.errors import DaemonUnreachableError, UnknownJobError
from bertd.records import JobKind
from tests.cli import samples
from tests.cli.fake_daemon import FakeDaemon, frame
from tests.waiting import PATIENCE_S

DOCS = Path(__file__).parents[2] / "docs" / "api.md"


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[FakeDaemon]:
    with FakeDaemon(tmp_path / "bertd.sock") as daemon:
        yield daemon


@pytest.fixture
def client(tmp_path: Path) -> AsyncClient:
    return AsyncClient(tmp_path / "bertd.sock")


def test_it_has_every_call_of_the_client_with_its_signature() -> None:
    calls = {name for name, value in vars(Client).items() if inspect.isfunction(value) and not name.startswith("_")}
    assert len(calls) > 30
    for name in calls - {"events"}:
        of_client, of_async = getattr(Client, name), getattr(AsyncClient, name)
        assert inspect.signature(of_async) == inspect.signature(of_client), name
        assert of_async.__doc__ == of_client.__doc__


async def test_calls_run_at_the_same_time_and_raise_what_the_client_raises(
    client: AsyncClient, daemon: FakeDaemon
) -> None:
    status, jobs = await asyncio.gather(client.status(), client.jobs(limit=1))
    assert (status, jobs) == (daemon.status, daemon.jobs[:1])
    assert (await client.pause(7, hot=True)).id == 7
    assert daemon.requests[-1].body == b'{"hot": true}'
    with pytest.raises(UnknownJobError):
        await client.job(99)


async def test_events_are_iterated_and_a_stream_that_is_closed_ends(client: AsyncClient, daemon: FakeDaemon) -> None:
    event = samples.status().events[0]
    daemon.stream.put(frame(event))
    daemon.stream.put(frame(daemon.status))
    got: list[EventView | StatusView] = []

    async def follow() -> None:
        async with client.events(since=3) as stream:
            async for item in stream:
                got.append(item)
                if isinstance(item, StatusView):
                    # Closed while the next item is waited for.
                    asyncio.get_running_loop().call_later(0, lambda: asyncio.ensure_future(stream.aclose()))
            assert stream.last_id == event.id

    await asyncio.wait_for(follow(), PATIENCE_S)
    assert got == [event, daemon.status]
    assert daemon.requests[-1].query == {"since": ["3"]}


async def test_a_stream_of_some_events_asks_for_those(client: AsyncClient, daemon: FakeDaemon) -> None:
    daemon.stream.put(frame(samples.status().events[0]))
    async with client.events(types=["alert"], kinds=[JobKind.GRID], job_id=7, run="@", user="ada") as stream:
        await anext(stream)
    assert daemon.requests[-1].query == {
        "type": ["alert"], "kind": ["grid"], "job": ["7"], "run": ["@"], "user": ["ada"]
    }  # fmt: skip


async def test_no_daemon_is_the_same_error(client: AsyncClient) -> None:
    with pytest.raises(DaemonUnreachableError):
        await client.status()
    with pytest.raises(DaemonUnreachableError):
        async with client.events():
            pass


def test_the_package_gives_the_clients_and_nothing_else() -> None:
    assert api.Client is Client
    with pytest.raises(AttributeError, match="no attribute 'Klient'"):
        api.Klient  # noqa: B018  # that is what it tests


def test_the_examples_of_the_documentation_run(
    daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BERTD_SOCKET", str(daemon.socket))
    event = samples.status().events[0]
    daemon.stream.put(frame(event.model_copy(update={"type": "end", "text": "it ended"})))
    examples = re.findall(r"```python\n(.*?)```", DOCS.read_text(), flags=re.S)
    assert len(examples) == 2
    for example in examples:
        exec(compile(example, str(DOCS), "exec"), {"__name__": "example"})  # noqa: S102  # of this repository
    out = capsys.readouterr().out
    assert "7-demo: 50% of the budget is spent" in out
    assert "job 9 queued: waits for its turn" in out
    assert out.endswith("end it ended\n")


def test_the_client_alone_loads_neither_asyncio_nor_torch() -> None:
    code = "import sys; from bertd.api import Client; print({'asyncio', 'torch'} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "set()\n"
