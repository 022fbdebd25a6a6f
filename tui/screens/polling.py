"""Base class of views that poll the daemon for more than the status while they are visible."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Callable

from textual import work
from textual.timer import Timer

from bertd.errors import BertdError
from bertd.terminal_text import terminal_line
from tui.screens.base import StatusScreen
from tui.snapshot import Feed

Request = Callable[[], object]
"""Asks the daemon, in another thread; changes nothing."""


class PollingScreen(StatusScreen):
    """Asks on entry and then periodically: one request at a time, whose answer changes the view on the UI's thread."""

    POLL_INTERVAL_S = 1.0

    def __init__(self, feed: Feed) -> None:
        super().__init__()
        self.feed = feed
        self.problem = ""
        """Why the newest request failed; empty if it succeeded."""
        self._timer: Timer | None = None
        self._is_asking = False
        self._is_asked_again = False

    @abstractmethod
    def next_request(self) -> Request | None:
        """What to ask now; None: nothing."""

    @abstractmethod
    def receive(self, answer: object) -> bool:
        """Keep the answer of the last request; True: ask again at once."""

    def on_screen_resume(self) -> None:
        """Start polling."""
        self.poll()
        if self._timer is None:
            self._timer = self.set_interval(self.POLL_INTERVAL_S, self.poll)
        self._timer.resume()

    def on_screen_suspend(self) -> None:
        """Stop polling while hidden."""
        if self._timer is not None:
            self._timer.pause()

    @work(group="asking")
    async def poll(self) -> None:
        """Ask and show the answer; while a request is under way, ask once more after it."""
        self._is_asked_again = True
        if self._is_asking:
            return
        self._is_asking = True
        try:
            while self._is_asked_again:
                self._is_asked_again = await self._ask_once()
        finally:
            self._is_asking = False
        if self._newest is not None:
            self.update(*self._newest)

    async def _ask_once(self) -> bool:
        """Whether to ask again at once."""
        request = self.next_request()
        if request is None:
            return False
        self._is_asked_again = False
        try:
            answer = await asyncio.to_thread(request)
        except BertdError as error:
            self.problem = terminal_line(str(error))
            return False
        self.problem = ""
        return self.receive(answer) or self._is_asked_again
