"""The client for asyncio: the calls of Client, each in a thread, and an asynchronous stream of events.

The calls are short and HTTP is the standard library's, so a thread costs less than a second HTTP library would.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Collection, Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

from bertd.api.client import Client, JobId
from bertd.api.models import EventView, StatusView
from bertd.api.sse import EventStream
from bertd.records import JobKind

_P = ParamSpec("_P")
_R = TypeVar("_R")


def _in_thread(
    call: Callable[Concatenate[Client, _P], _R],
) -> Callable[Concatenate[AsyncClient, _P], Coroutine[Any, Any, _R]]:
    """The same call, awaited."""

    async def awaited(self: AsyncClient, /, *arguments: _P.args, **options: _P.kwargs) -> _R:
        return await asyncio.to_thread(call, self.sync, *arguments, **options)

    functools.update_wrapper(awaited, call)
    return awaited


class AsyncClient:
    """One daemon's API for asyncio; each call has the arguments, the result and the errors of Client's.

    A call that is cancelled is still carried out by its thread.
    """

    def __init__(self, socket: Path | None = None, *, timeout_s: float | None = None) -> None:
        """As Client."""
        self.sync = Client(socket, timeout_s=timeout_s)
        """The client that the calls use."""

    version = _in_thread(Client.version)
    status = _in_thread(Client.status)
    runs = _in_thread(Client.runs)
    run = _in_thread(Client.run)
    recipe = _in_thread(Client.recipe)
    series = _in_thread(Client.series)
    several_series = _in_thread(Client.several_series)
    jobs = _in_thread(Client.jobs)
    job = _in_thread(Client.job)
    would_start = _in_thread(Client.would_start)
    log = _in_thread(Client.log)
    log_between = _in_thread(Client.log_between)
    devices = _in_thread(Client.devices)
    machine = _in_thread(Client.machine)
    configuration = _in_thread(Client.configuration)
    queue_copy = _in_thread(Client.queue_copy)
    audit = _in_thread(Client.audit)
    garbage = _in_thread(Client.garbage)
    delete_garbage = _in_thread(Client.delete_garbage)
    hooks = _in_thread(Client.hooks)
    test_hook = _in_thread(Client.test_hook)
    drain = _in_thread(Client.drain)
    undrain = _in_thread(Client.undrain)
    scores = _in_thread(Client.scores)
    sweeps = _in_thread(Client.sweeps)
    sweep = _in_thread(Client.sweep)
    past_events = _in_thread(Client.past_events)
    submit = _in_thread(Client.submit)
    estimate_grid = _in_thread(Client.estimate_grid)
    estimate_lend = _in_thread(Client.estimate_lend)
    submit_sweep = _in_thread(Client.submit_sweep)
    cancel_sweep = _in_thread(Client.cancel_sweep)
    pause = _in_thread(Client.pause)
    resume = _in_thread(Client.resume)
    checkpoint = _in_thread(Client.checkpoint)
    stop = _in_thread(Client.stop)
    hold = _in_thread(Client.hold)
    release = _in_thread(Client.release)
    priority = _in_thread(Client.priority)
    change = _in_thread(Client.change)
    clone = _in_thread(Client.clone)
    move = _in_thread(Client.move)
    budget = _in_thread(Client.budget)
    shutdown = _in_thread(Client.shutdown)

    def events(
        self,
        since: int | None = None,
        *,
        types: Collection[str] = (),
        kinds: Collection[JobKind] = (),
        job_id: int | None = None,
        run: JobId | None = None,
        user: str | None = None,
    ) -> AsyncEventStream:
        """Follow the daemon, in an `async with` and an `async for`; see Client.events."""
        open_stream = functools.partial(
            self.sync.events, since, types=types, kinds=kinds, job_id=job_id, run=run, user=user
        )
        return AsyncEventStream(open_stream, since=since)


class AsyncEventStream:
    """Events and ticks as they happen: `async with client.events() as stream: async for item in stream`.

    It ends with `aclose`, and raises what bertd.api.sse.EventStream raises.
    """

    def __init__(self, open_stream: Callable[[], EventStream], *, since: int | None) -> None:
        self._open_stream = open_stream
        self._since = since
        # Its own thread, which waits nearly always: those of to_thread are few, and for calls.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="bertd events")
        self._stream: EventStream | None = None
        self._is_closed = False

    @property
    def last_id(self) -> int | None:
        """Id of the newest event that was returned, to go on after it with `events(since=...)`."""
        return self._since if self._stream is None else self._stream.last_id

    async def __aenter__(self) -> Self:
        """Connect."""
        self._stream = await self._run(self._open_stream)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> EventView | StatusView:
        """Wait for the next event or tick.

        Raises:
            StopAsyncIteration: the stream was closed.
            BertdError: as EventStream.
        """
        assert self._stream is not None, "use it in an `async with`"
        stream = self._stream
        item = await self._run(lambda: next(stream, None))
        if item is None:
            raise StopAsyncIteration
        return item

    async def aclose(self) -> None:
        """End the iteration; a second call does nothing."""
        if self._stream is not None:
            # This ends a wait in the thread, which then closes the connection.
            self._stream.close()
            if not self._is_closed:
                self._thread.submit(self._stream.__exit__)
        self._is_closed = True
        self._thread.shutdown(wait=False)

    async def _run(self, call: Callable[[], _R]) -> _R:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)
