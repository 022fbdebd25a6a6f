"""Create views by name; each is imported on first use."""

from __future__ import annotations

from tui.screens.base import StatusScreen
from tui.snapshot import Feed

SCREEN_NAMES = ["run", "queue", "scores", "log", "events", "devices", "compare", "recipe", "fleet"]


def make_screen(name: str, feed: Feed) -> StatusScreen:
    match name:
        case "queue":
            from tui.screens.queue import QueueScreen

            return QueueScreen(feed)
        case "scores":
            from tui.screens.scores import ScoresScreen

            return ScoresScreen(feed)
        case "log":
            from tui.screens.log import LogScreen

            return LogScreen(feed)
        case "events":
            from tui.screens.events import EventsScreen

            return EventsScreen()
        case "fleet":
            from tui.screens.fleet import FleetScreen

            return FleetScreen()
        case "devices":
            from tui.screens.devices import DevicesScreen

            return DevicesScreen(feed)
        case "compare":
            from tui.screens.compare import CompareScreen

            return CompareScreen(feed)
        case "recipe":
            from tui.screens.recipe import RecipeScreen

            return RecipeScreen(feed)
        case _:
            from tui.screens.run import RunScreen

            return RunScreen(feed)
