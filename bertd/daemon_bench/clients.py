"""Many clients of a daemon at once, in one thread of this process: requests a second, and event streams."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bertd.errors import ClientError

REQUESTS_PER_CLIENT_S = 1.0


async def _get(socket: Path, target: str) -> float:
    """Seconds from before the connection to the last byte of the answer.

    Raises:
        ClientError: the daemon did not answer with success.
    """
    began = time.perf_counter()
    reader, writer = await asyncio.open_unix_connection(str(socket))
    try:
        writer.write(f"GET {target} HTTP/1.1\r\nHost: bertd\r\nConnection: close\r\n\r\n".encode())
        answer = await reader.read(-1)
    finally:
        writer.close()
    if not answer.startswith(b"HTTP/1.1 200"):
        raise ClientError(f"GET {target}: {answer[:200]!r}")
    return time.perf_counter() - began


async def _ask_repeatedly(socket: Path, targets: Sequence[str], *, seconds: float, phase: float) -> list[float]:
    latencies: list[float] = []
    begin = time.perf_counter() + phase / REQUESTS_PER_CLIENT_S
    number = 0
    while (due := begin + number / REQUESTS_PER_CLIENT_S) < begin + seconds:
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        latencies.append(await _get(socket, targets[number % len(targets)]))
        number += 1
    return latencies


def measure_latencies(socket: Path, targets: Sequence[str], *, num_clients: int, seconds: float) -> list[float]:
    """Latencies of clients that each ask for one target after the other, one a second, out of step."""

    async def run() -> list[float]:
        each = []
        for number in range(num_clients):
            own = [*targets[number % len(targets) :], *targets[: number % len(targets)]]
            each.append(_ask_repeatedly(socket, own, seconds=seconds, phase=number / num_clients))
        return [latency for latencies in await asyncio.gather(*each) for latency in latencies]

    return asyncio.run(run())


@dataclass(frozen=True)
class StreamCounts:
    """What event streams received."""

    num_ticks: int
    """Over all streams."""
    num_streams: int
    num_closed: int
    """Streams that the daemon ended."""
    seconds: float

    @property
    def share_lost(self) -> float:
        """Of the ticks, one a second and stream, those that did not come; a tick at either end may be cut off."""
        wanted = self.num_streams * max(1.0, self.seconds - 2)
        return max(0.0, 1 - self.num_ticks / wanted)


async def _count_ticks(socket: Path, opened: asyncio.Semaphore, until: asyncio.Event) -> tuple[int, bool]:
    reader, writer = await asyncio.open_unix_connection(str(socket))
    writer.write(b"GET /v1/events HTTP/1.1\r\nHost: bertd\r\n\r\n")
    await reader.readuntil(b"\r\n\r\n")
    opened.release()
    num_ticks, stop = 0, asyncio.create_task(until.wait())
    try:
        while not until.is_set():
            read = asyncio.create_task(reader.read(1 << 16))
            await asyncio.wait({read, stop}, return_when=asyncio.FIRST_COMPLETED)
            if not read.done():
                read.cancel()
                break
            if not (piece := read.result()):
                return num_ticks, True
            num_ticks += piece.count(b"event: tick")
    finally:
        stop.cancel()
        writer.close()
    return num_ticks, False


def measure_streams(socket: Path, *, num_streams: int, seconds: float) -> StreamCounts:
    """Open event streams, and read them for some seconds."""

    async def run() -> StreamCounts:
        opened, until = asyncio.Semaphore(0), asyncio.Event()
        streams = [asyncio.create_task(_count_ticks(socket, opened, until)) for _ in range(num_streams)]
        for _ in streams:
            await opened.acquire()
        began = time.perf_counter()
        await asyncio.sleep(seconds)
        until.set()
        counts = await asyncio.gather(*streams)
        num_closed = sum(is_closed for _, is_closed in counts)
        return StreamCounts(sum(ticks for ticks, _ in counts), num_streams, num_closed, time.perf_counter() - began)

    return asyncio.run(run())
