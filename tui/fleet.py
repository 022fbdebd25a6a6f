"""Several daemons in one dashboard: all are followed, one is shown and acted on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tui.snapshot import Feed, Member, Snapshot


class FleetFeed:
    """A feed over the feeds of several daemons, by name. What is not about all of them is the chosen one's."""

    def __init__(self, feeds: Mapping[str, Feed]) -> None:
        """`feeds` has at least one."""
        self._feeds = dict(feeds)
        self._chosen = next(iter(self._feeds))

    def __getattr__(self, name: str) -> Any:
        """A request goes to the chosen daemon."""
        return getattr(self._feeds[self._chosen], name)

    def start(self) -> None:
        """Start following all."""
        for feed in self._feeds.values():
            feed.start()

    def close(self) -> None:
        """Stop following."""
        for feed in self._feeds.values():
            feed.close()

    def choose(self, name: str) -> None:
        """Show this daemon from now on, and act on it."""
        if name in self._feeds:
            self._chosen = name

    def snapshot(self) -> Snapshot:
        """The chosen daemon's newest state, with a line's worth of the others'; never blocks."""
        snapshots = {name: feed.snapshot() for name, feed in self._feeds.items()}
        members = tuple(Member(name, snapshot) for name, snapshot in snapshots.items())
        return replace(snapshots[self._chosen], host=self._chosen, fleet=members)
