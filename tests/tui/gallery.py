"""Draw every view and dialog of the dashboard into docs/gallery, from the simulation at a fixed time.

    python -m tests.tui.gallery

The same code gives the same bytes, so that `git diff` shows which views have changed.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from bertd.records import JobState
from tests.tui.fake_feed import NOW, FakeFeed
from tests.tui.settled import settled
from tui.dashboard import Dashboard
from tui.display_options import DisplayOptions
from tui.drawing.glyphs import ASCII
from tui.fleet import FleetFeed
from tui.screen_picture import draw_svg
from tui.screens.registry import SCREEN_NAMES
from tui.simulated.feed import SimulatedFeed
from tui.snapshot import Feed, Link, LinkState, Snapshot

FOLDER = Path(__file__).parents[2] / "docs" / "gallery"
_SIZE = (120, 40)


@dataclass(frozen=True)
class Picture:
    """One picture."""

    name: str
    caption: str
    keys: Sequence[str] = ()
    """Pressed before it is drawn."""
    view: str = "run"
    size: tuple[int, int] = _SIZE
    options: DisplayOptions = DisplayOptions()
    make_feed: Callable[[], Feed] = lambda: SimulatedFeed(clock=lambda: NOW)


def _lost_feed() -> Feed:
    feed = FakeFeed()
    feed.lose(silent_s=12.0)
    return feed


def _fleet_feed() -> Feed:
    live, paused, lost = FakeFeed(), FakeFeed(), FakeFeed()
    paused.change_run(id="7-medical", state=JobState.PAUSED)
    lost.change_run(id="3-german")
    lost.current = replace(lost.current, link=Link(LinkState.LOST, 312.0, 1.0, "ssh: Connection timed out"))
    never = FakeFeed(Snapshot(now=NOW, link=Link(LinkState.CONNECTING, problem="ada@gpu4: ssh: Permission denied")))
    feeds = {"this machine": live, "gpu2": paused, "gpu3": lost, "ada@gpu4": never}
    return cast(Feed, FleetFeed(feeds))


_FEEDS: dict[str, Callable[[], Feed]] = {"fleet": _fleet_feed}
"""Of views that the simulation alone does not fill."""
PICTURES = [
    *(
        Picture(name, f"The view {name}", view=name, make_feed=_FEEDS.get(name, Picture.make_feed))
        for name in SCREEN_NAMES
    ),
    Picture("help", "? shows all keys", keys=["question_mark"], size=(120, 60)),
    Picture("pause", "p asks before it pauses, and says what it costs", keys=["p"]),
    Picture("finetune", "f asks what to finetune", keys=["f"]),
    Picture("stop", "S wants the run's name", keys=["S"]),
    Picture("lost", "A daemon that was lost: its last state, in grey", make_feed=_lost_feed),
    Picture("run-60x20", "The smallest size", size=(60, 20)),
    Picture("run-80x24", "80 x 24", size=(80, 24)),
    Picture("run-200x60", "200 x 60", size=(200, 60)),
    Picture("palette-dark", "--palette dark", options=DisplayOptions(palette="dark")),
    Picture("palette-light", "--palette light", options=DisplayOptions(palette="light")),
    Picture("ascii", "--ascii", options=DisplayOptions(glyphs=ASCII)),
]


async def draw(picture: Picture) -> str:
    """One picture as SVG."""
    app = Dashboard(picture.make_feed(), options=picture.options)
    async with app.run_test(size=picture.size) as pilot:
        await app.action_show_view(picture.view)
        await settled(pilot)
        await pilot.press(*picture.keys)
        app.show_newest()
        await pilot.pause()
        return draw_svg(app, title=f"bert-tui: {picture.name}", is_light=picture.options.palette == "light")


def contents() -> str:
    """The page that shows all pictures."""
    shown = [f"## {one.name}\n\n{one.caption}.\n\n![{one.name}]({one.name}.svg)\n" for one in PICTURES]
    head = "# The dashboard, view by view\n\n`make gallery` draws these from the simulation (`bert-tui --demo`).\n"
    return "\n".join([head, *shown])


def main() -> None:
    """Draw all."""
    os.environ["TZ"] = "UTC"
    time.tzset()
    FOLDER.mkdir(parents=True, exist_ok=True)
    for picture in PICTURES:
        (FOLDER / f"{picture.name}.svg").write_text(asyncio.run(draw(picture)), encoding="utf-8")
        print(f"docs/gallery/{picture.name}.svg", flush=True)
    (FOLDER / "README.md").write_text(contents(), encoding="utf-8")


if __name__ == "__main__":
    main()
