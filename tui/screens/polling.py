"""Base class of views that poll the daemon for more than the status while they are visible."""

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
    """Calls `fetch` in a separate thread, on entry and then periodically, one call at a time."""

    POLL_INTERVAL_S = 1.0

    def __init__(self, feed: Feed) -> None:
        super().__init__()
        self.feed = feed
        self.problem = ""
        """Why the newest call failed; empty if it succeeded."""
        self._timer: Timer | None = None

    @abstractmethod
    def fetch(self) -> None:
        """Send the request and keep the response; runs outside the UI thread."""

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

    @work(group="fetching", exclusive=True)
    async def poll(self) -> None:
        """Call `fetch` and show its result."""
        try:
            await asyncio.to_thread(self.fetch)
        except BertdError as error:
            self.problem = terminal_line(str(error))
        else:
            self.problem = ""
        if self._newest is not None:
            self.update(*self._newest)
