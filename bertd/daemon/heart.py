"""Turns the scheduler: about every half second, and at once when something calls for it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from bertd.errors import BertdError

logger = logging.getLogger(__name__)

TICK_S = 0.5


class Heart:
    """Calls the scheduler about every half second, and at once when woken."""

    def __init__(self) -> None:
        self._woken = asyncio.Event()
        self._ended = False

    def wake(self) -> None:
        """Do not wait for the next beat."""
        self._woken.set()

    def end(self) -> None:
        """Return from `run` soon."""
        self._ended = True
        self._woken.set()

    async def run(self, beat: Callable[[], bool]) -> None:
        """Until ended; a beat says whether the next is due at once, and an error of one is logged."""
        complaint = ""
        while not self._ended:
            self._woken.clear()
            try:
                if beat():
                    self._woken.set()
            except BertdError as error:
                if str(error) != complaint:
                    logger.error("%s", error)
                complaint = str(error)
            except Exception:
                logger.exception("a round of the scheduler failed; the next one tries again")
            await asyncio.sleep(0)
            try:
                await asyncio.wait_for(self._woken.wait(), TICK_S)
            except TimeoutError:
                pass
