"""Run the scheduler's ticks: one about every half second, and one at once when woken."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from bertd.errors import BertdError

logger = logging.getLogger(__name__)

SCHEDULER_INTERVAL_S = 0.5


class SchedulerLoop:
    """Calls `tick` every SCHEDULER_INTERVAL_S, and at once when woken."""

    def __init__(self) -> None:
        self._wake_event = asyncio.Event()
        self._is_stopped = False

    def wake(self) -> None:
        """Run the next tick at once."""
        self._wake_event.set()

    def stop(self) -> None:
        """Have `run` return soon."""
        self._is_stopped = True
        self._wake_event.set()

    async def run(self, tick: Callable[[], bool]) -> None:
        """Call `tick` until stopped; it returns whether the next one is due at once. Its errors are logged."""
        last_error = ""
        while not self._is_stopped:
            self._wake_event.clear()
            try:
                if tick():
                    self._wake_event.set()
            except BertdError as error:
                if str(error) != last_error:
                    logger.error("%s", error)
                last_error = str(error)
            except Exception:
                # The edge of a tick: a bug in one must not stop the queue for good.
                logger.exception("a round of the scheduler failed; the next one tries again")
            await asyncio.sleep(0)
            try:
                await asyncio.wait_for(self._wake_event.wait(), SCHEDULER_INTERVAL_S)
            except TimeoutError:
                pass
