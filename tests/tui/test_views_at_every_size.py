"""Every view but the run's, as text, at four sizes and in the states that change it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bertd.records import JobState
from tests.tui.fake_feed import FakeFeed
from tests.tui.screen_text import assert_like_snapshot, screen_lines, screen_text
from tests.tui.settled import settled
from tui.dashboard import Dashboard
from tui.display_options import DisplayOptions
from tui.drawing.glyphs import ASCII
from tui.snapshot import Link, LinkState, Snapshot

SIZES = [(60, 20), (80, 24), (120, 40), (200, 60)]
VIEWS = {"queue": "2", "scores": "3", "log": "4", "events": "5", "devices": "6", "compare": "7", "recipe": "8"}
"""Name, and the keys that open it from the first screen."""


def _feed() -> FakeFeed:
    feed = FakeFeed()
    feed.older_runs = [run for run in feed.demo.runs() if run.id != feed.status.runs[0].id]
    feed.scored = feed.demo.scores()
    feed.logs[12] = "".join(f"rank {n % 8}: step {n}: loss 2.{n:03d}\n" for n in range(300)).encode()
    feed.kept = feed.demo.run(feed.status.runs[0].id).kept
    return feed


async def _draw(feed: FakeFeed, view: str, size: tuple[int, int], options: DisplayOptions | None = None) -> str:
    app = Dashboard(feed, options=options or DisplayOptions())
    async with app.run_test(size=size) as pilot:
        await pilot.press(*VIEWS[view])
        await settled(pilot)
        assert all(len(line) <= size[0] for line in screen_lines(app))
        return screen_text(app)


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("view", VIEWS)
async def test_a_view_equals_its_snapshot(view: str, size: tuple[int, int]) -> None:
    assert_like_snapshot(await _draw(_feed(), view, size), f"{view}-{size[0]}x{size[1]}")


@pytest.mark.parametrize("view", VIEWS)
async def test_a_view_in_ascii_has_no_other_character(view: str) -> None:
    text = await _draw(_feed(), view, (100, 30), DisplayOptions(glyphs=ASCII, has_color=False))
    assert text.isascii()
    assert_like_snapshot(text, f"{view}-100x30-ascii")


@pytest.mark.parametrize("view", VIEWS)
async def test_a_view_before_the_first_answer_says_that_nothing_is_known(view: str) -> None:
    feed = FakeFeed(Snapshot(now=0.0, link=Link(LinkState.CONNECTING)))
    assert "not known yet" in await _draw(feed, view, (80, 24))


@pytest.mark.parametrize("view", VIEWS)
async def test_a_view_keeps_the_last_state_of_a_lost_daemon_and_says_that_it_is_lost(view: str) -> None:
    feed = _feed()
    shown = (await _draw(feed, view, (120, 40))).splitlines()[1:-1]
    feed.lose(silent_s=12.0)
    text = await _draw(feed, view, (120, 40))
    assert "daemon lost" in text and "last seen 12s ago" in text
    assert text.splitlines()[1:-1] == shown


@pytest.mark.parametrize("view", VIEWS)
async def test_a_view_survives_long_wide_and_hostile_names(view: str) -> None:
    feed = _feed()
    name = "数据" * 60 + "\x1b]0;owned\x07[bold]x[/bold]"
    job = feed.status.jobs[0].model_copy(update={"name": name, "reason": name})
    held = feed.status.jobs[-1].model_copy(update={"name": name, "state": JobState.HELD, "reason": f"held: {name}"})
    devices = [each.model_copy(update={"name": name, "drained_by": name}) for each in feed.status.devices]
    feed.change_status(jobs=[job, *feed.status.jobs[1:-1], held], devices=devices)
    feed.change_run(name=name)
    for size in SIZES:
        text = await _draw(feed, view, size)
        assert "\x1b" not in text and "\x07" not in text


@pytest.mark.parametrize("view", VIEWS)
async def test_a_view_of_a_machine_without_jobs_and_runs_says_so(view: str) -> None:
    feed = FakeFeed()
    feed.change_status(runs=[], jobs=[], devices=[], events=[])
    feed.current = replace(feed.current, series=None, events=())
    text = await _draw(feed, view, (80, 24))
    assert "none" in text or "no " in text or "empty" in text
