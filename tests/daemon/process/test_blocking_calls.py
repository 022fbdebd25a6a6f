"""bertd.daemon.process.blocking_calls: a call that hangs costs a thread, and never the event loop."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator

import pytest

from bertd.daemon.process.blocking_calls import BlockingCalls
from bertd.errors import StillReadingError, StorageError


@pytest.fixture
def hangs() -> Iterator[threading.Event]:
    """Set at the end of the test, so that no thread is left."""
    event = threading.Event()
    yield event
    event.set()


async def until(condition: Callable[[], bool]) -> None:
    """Wait for it; the test's own timeout ends a wait that is in vain."""
    while not condition():
        await asyncio.sleep(0.001)


async def test_a_result_and_an_error_come_back_to_who_waits() -> None:
    calls = BlockingCalls("calls", most=1)

    def fail() -> int:
        raise StorageError("no room")

    assert await calls.run(lambda: 7) == 7
    with pytest.raises(StorageError, match="no room"):
        await calls.run(fail)
    assert calls.num_running == 0


async def test_one_that_hangs_is_given_up_and_counted_until_it_ends(hangs: threading.Event) -> None:
    calls = BlockingCalls("looks", most=2)
    for _ in range(2):
        with pytest.raises(TimeoutError):
            await calls.run(hangs.wait, timeout_s=0.01)
    with pytest.raises(StillReadingError, match="2 looks are running, as many as may; try again later"):
        await calls.run(lambda: True)
    hangs.set()
    await until(lambda: calls.num_running == 0)
    assert await calls.run(lambda: True)


async def test_one_that_hangs_counts_although_who_waited_has_gone(hangs: threading.Event) -> None:
    calls = BlockingCalls("looks", most=1)
    waiting = asyncio.create_task(calls.run(hangs.wait))
    await until(lambda: calls.num_running == 1)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert calls.num_running == 1
    hangs.set()
    await until(lambda: calls.num_running == 0)


def test_one_that_hangs_does_not_keep_the_process_from_ending() -> None:
    program = """
import asyncio, threading
from bertd.daemon.process.blocking_calls import BlockingCalls
async def main():
    try:
        await BlockingCalls("calls", most=1).run(threading.Event().wait, timeout_s=0.01)
    except TimeoutError:
        print("given up")
asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout, done.stderr) == (0, "given up\n", "")
