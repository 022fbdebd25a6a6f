"""A view that asks the daemon for more than the status holds, while it is looked at."""

from __future__ import annotations

import asyncio
from abc import abstractmethod

from textual import work
from textual.timer import Timer

from bertd.errors import BertdError
from bertd.terminal_text import terminal_line
from tui.screens.base import StatusScreen
from tui.snapshot import Feed


class PollingScreen(StatusScreen):
    """Calls `fetch` in a thread of its own when it is entered and every so often, one call at a time."""

    POLL_INTERVAL_S = 1.0

    def __init__(self, feed: Feed) -> None:
        super().__init__()
        self.feed = feed
        self.problem = ""
        """Why the newest call failed; empty where it did not."""
        self._timer: Timer | None = None

    @abstractmethod
    def fetch(self) -> None:
        """Ask and keep the answer; runs off the screen's thread."""

    def on_screen_resume(self) -> None:
        """Begin to ask."""
        self.poll()
        if self._timer is None:
            self._timer = self.set_interval(self.POLL_INTERVAL_S, self.poll)
        self._timer.resume()

    def on_screen_suspend(self) -> None:
        """Nobody looks."""
        if self._timer is not None:
            self._timer.pause()

    @work(group="fetching", exclusive=True)
    async def poll(self) -> None:
        """Call `fetch` and show what it found."""
        try:
            await asyncio.to_thread(self.fetch)
        except BertdError as error:
            self.problem = terminal_line(str(error))
        else:
            self.problem = ""
        if self._newest is not None:
            self.update(*self._newest)
