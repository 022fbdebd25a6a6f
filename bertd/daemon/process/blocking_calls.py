"""Calls that may block for long, such as looking at a path of a network file system whose server is gone.

The event loop must not make them: while it waits for a disk no request is answered and no job is scheduled. Each runs
in a thread of its own, of which there are few. A thread whose call hangs cannot be ended; it is a daemon thread, so it
does not keep the process from ending, as one of a ThreadPoolExecutor would.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from bertd.errors import StillReadingError

_T = TypeVar("_T")


class BlockingCalls:
    """Runs a few calls at once, and refuses more."""

    def __init__(self, name: str, *, most: int) -> None:
        """Begin.

        Args:
            name: of what the calls do, in messages: a noun in the plural.
            most: at the same time, those counted that hang.
        """
        self._name = name
        self._most = most
        self.num_running = 0

    async def run(self, call: Callable[[], _T], *, timeout_s: float | None = None) -> _T:
        """The call's result; it raises what the call raises.

        Raises:
            StillReadingError: as many calls run as may.
            TimeoutError: the call takes longer; it continues, and is counted until it ends.
        """
        if self.num_running >= self._most:
            raise StillReadingError(f"{self.num_running} {self._name} are running, as many as may; try again later")
        loop = asyncio.get_running_loop()
        running = _Running(call)
        finished = asyncio.Event()

        def finish() -> None:
            self.num_running -= 1
            finished.set()

        def work() -> None:
            running.run()
            try:
                loop.call_soon_threadsafe(finish)
            except RuntimeError:
                pass  # The loop has ended, and with it whoever waited.

        self.num_running += 1
        threading.Thread(target=work, name=self._name, daemon=True).start()
        async with asyncio.timeout(timeout_s):
            await finished.wait()
        return running.result()


class _Running(Generic[_T]):
    """One call, and what came of it."""

    def __init__(self, call: Callable[[], _T]) -> None:
        self._call = call
        self._results: list[_T] = []
        self._error: BaseException | None = None

    def run(self) -> None:
        try:
            self._results.append(self._call())
        except BaseException as error:
            # The edge of a thread: it is raised where the call is awaited.
            self._error = error

    def result(self) -> _T:
        if self._error is not None:
            raise self._error
        return self._results[0]
