"""A feed that is opened after the first frame, since its imports take as long as that frame: the screen says
meanwhile that it connects.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from tui.snapshot import Feed, Link, LinkState, Snapshot


class LateFeed:
    """A feed that `start` opens in another thread."""

    def __init__(self, open_feed: Callable[[], Feed]) -> None:
        self._open_feed = open_feed
        self._feed: Feed | None = None
        self.error: Exception | None = None
        """Why it cannot be opened."""
        self._is_closed = False
        self._when_failed: Callable[[], object] = lambda: None
        self._is_done = threading.Event()
        self._is_started = False

    def __getattr__(self, name: str) -> Any:
        """A request waits until the feed is open."""
        return getattr(self._feed, name) if self._feed is not None else lambda *args, **kw: self._ask(name, *args, **kw)

    def when_failed(self, act: Callable[[], object]) -> None:
        """Call this in the other thread if the feed cannot be opened; `error` then has the reason."""
        self._when_failed = act

    def start(self) -> None:
        """Open the feed and start it; a second call does nothing."""
        if not self._is_started and not self._is_closed:
            self._is_started = True
            threading.Thread(target=self._open, name="open-feed", daemon=True).start()

    def close(self) -> None:
        """Stop following; a feed that is still being opened is closed then."""
        self._is_closed = True
        if self._feed is not None:
            self._feed.close()

    def snapshot(self) -> Snapshot:
        """The feed's newest state; before it is open, that it connects."""
        if self._feed is not None:
            return self._feed.snapshot()
        return Snapshot(now=time.time(), link=Link(LinkState.CONNECTING))

    def _open(self) -> None:
        try:
            feed = self._open_feed()
        except Exception as error:
            # The edge of the thread: the program ends with this error, as if it had been raised before the first frame.
            self.error = error
            self._is_done.set()
            self._when_failed()
            return
        feed.start()
        self._feed = feed
        self._is_done.set()
        if self._is_closed:
            feed.close()

    def _ask(self, name: str, *args: Any, **options: Any) -> Any:
        self._is_done.wait()
        if self.error is not None:
            raise self.error
        return getattr(self._feed, name)(*args, **options)
