"""Makes the views by name, each imported when it is first looked at."""

from __future__ import annotations

from tui.screens.board import Board
from tui.snapshot import Feed

BOARDS = ["run", "queue", "scores", "log", "events"]


def make_board(name: str, feed: Feed) -> Board:
    """The view of that name."""
    match name:
        case "queue":
            from tui.screens.queue import QueueScreen

            return QueueScreen()
        case "scores":
            from tui.screens.scores import ScoresScreen

            return ScoresScreen(feed)
        case "log":
            from tui.screens.log import LogScreen

            return LogScreen(feed)
        case "events":
            from tui.screens.events import EventsScreen

            return EventsScreen()
        case _:
            from tui.screens.run import RunScreen

            return RunScreen()
