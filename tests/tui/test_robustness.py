"""What a day brings: a silent daemon, a clock that steps, 500 jobs, names in any script; every view, every size."""

from __future__ import annotations

from dataclasses import replace

import pytest
from rich.cells import cell_len
from textual.pilot import Pilot

from bertd.records import JobState
from tests.tui.fake_feed import NOW, FakeFeed
from tests.tui.screen_text import refreshed, screen_text
from tui.dashboard import Dashboard
from tui.display_options import DisplayOptions
from tui.drawing.glyphs import ASCII
from tui.screens.registry import SCREEN_NAMES
from tui.snapshot import Link, LinkState

_SIZES = [(60, 20), (120, 40)]
_NAMES = "漢字🧪[red]x[/red]{0}%s\\n é ﷽"
"""Two cells a character, emoji, markup, a format, a combining mark, the widest character there is."""


def _feed_with_odd_names() -> FakeFeed:
    feed = FakeFeed()
    jobs = [job.model_copy(update={"name": _NAMES, "reason": _NAMES * 5}) for job in feed.status.jobs]
    events = [event.model_copy(update={"text": _NAMES * 5}) for event in feed.status.events]
    feed.change_run(id=_NAMES, name=_NAMES, model=_NAMES, reason=_NAMES)
    feed.change_jobs(jobs)
    feed.current = replace(feed.current, events=tuple(events), host=_NAMES)
    return feed


async def _visit_views(app: Dashboard, pilot: Pilot[None], width: int) -> None:
    """Each view; each of its lines as wide as the screen, or the terminal would wrap it."""
    for name in SCREEN_NAMES:
        await app.action_show_view(name)
        await pilot.pause()
        strips = app.screen._compositor.render_strips()
        assert {sum(cell_len(segment.text) for segment in strip) for strip in strips} == {width}, name


@pytest.mark.parametrize("size", _SIZES)
async def test_names_in_any_script_fill_no_more_than_their_cells(size: tuple[int, int]) -> None:
    app = Dashboard(_feed_with_odd_names(), options=DisplayOptions())
    async with app.run_test(size=size) as pilot:
        await _visit_views(app, pilot, size[0])
        assert "[red]" in screen_text(app) or size[0] < 80


async def test_names_in_any_script_are_drawn_in_ascii() -> None:
    app = Dashboard(_feed_with_odd_names(), options=DisplayOptions(glyphs=ASCII))
    async with app.run_test(size=(120, 40)) as pilot:
        await app.action_show_view("queue")
        await pilot.pause()
        assert screen_text(app).replace("\xa0", " ").isascii()


async def test_five_hundred_jobs_are_listed_searched_and_walked_through() -> None:
    feed = FakeFeed()
    first = feed.status.jobs[0]
    feed.change_jobs(
        [first.model_copy(update={"id": 1000 + n, "name": f"job-{n}", "state": JobState.QUEUED}) for n in range(500)]
    )
    app = Dashboard(feed, options=DisplayOptions())
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("2", "end", "pageup", "home", "down")
        await refreshed(pilot)
        assert "job-" in screen_text(app)
        await pilot.press("slash", *"job-499", "enter")
        await refreshed(pilot)
        assert "job-499" in screen_text(app)
        assert "job-498" not in screen_text(app)


@pytest.mark.parametrize("step_s", [-365 * 86400.0, 10 * 365 * 86400.0])
async def test_a_clock_that_steps_changes_no_view_into_an_error(step_s: float) -> None:
    feed = FakeFeed()
    app = Dashboard(feed, options=DisplayOptions())
    async with app.run_test(size=(120, 40)) as pilot:
        feed.current = replace(feed.current, now=NOW + step_s)
        await refreshed(pilot)
        await _visit_views(app, pilot, 120)
        assert app.return_code in (None, 0)


@pytest.mark.parametrize("size", _SIZES)
async def test_a_daemon_that_is_lost_or_silent_is_said_in_every_view_and_keys_work(size: tuple[int, int]) -> None:
    feed = FakeFeed()
    app = Dashboard(feed, options=DisplayOptions())
    async with app.run_test(size=size) as pilot:
        for link, word in (
            (Link(LinkState.LOST, 12.0, 1.0, "no daemon"), "daemon lost"),
            (Link(LinkState.LIVE, 12.0), "daemon silent"),
        ):
            feed.current = replace(feed.current, link=link)
            for name in SCREEN_NAMES:
                await app.action_show_view(name)
                await pilot.pause()
                await refreshed(pilot)
                assert word in screen_text(app), name
                if size[0] >= 120:
                    assert "last seen 12s ago" in screen_text(app), name
        await pilot.press("question_mark")
        assert len(app.screen_stack) == 2
