"""The keys of the charts: axis, smoothing, zoom, cursor, and what the run is compared with."""

from __future__ import annotations

from dataclasses import replace

from textual.pilot import Pilot

from bertd.errors import UnknownJobError
from tests.tui.fake_feed import FakeFeed
from tests.tui.screen_text import screen_text
from tests.tui.settled import eventually
from tui.charts.chart_view import SMOOTHINGS, CurvesRequest
from tui.charts.reference import PUBLISHED
from tui.dashboard import Dashboard
from tui.display_options import DisplayOptions
from tui.screens.reference import ReferenceDialog

SIZE = (120, 40)


def _dashboard(feed: FakeFeed) -> Dashboard:
    return Dashboard(feed, options=DisplayOptions())


def _asked(feed: FakeFeed) -> list[CurvesRequest]:
    return [what for verb, what in feed.asked if verb == "curves" and isinstance(what, CurvesRequest)]


async def _press(pilot: Pilot[None], *keys: str) -> str:
    """Press keys one after the other, wait for the curves of each, and read the screen."""
    for key in keys or ("",):
        if key:
            await pilot.press(key)
        await pilot.pause()
        while any(not worker.is_finished for worker in pilot.app.workers if worker.group == "curves"):
            await pilot.pause()
        await pilot.pause()
    return screen_text(pilot.app)


async def test_t_goes_through_the_axes_and_the_daemon_is_asked_for_each() -> None:
    feed = FakeFeed()
    async with _dashboard(feed).run_test(size=SIZE) as pilot:
        await pilot.pause()
        assert "Loss by steps" in await _press(pilot, "t")
        assert "5,000" in screen_text(pilot.app)
        assert "Loss by wall time" in await _press(pilot, "t", "t", "t", "t")
        assert "░░" in screen_text(pilot.app) and "12h" in screen_text(pilot.app)
        assert "Loss by" not in await _press(pilot, "t")
    assert [request.axis for request in _asked(feed)] == [
        "step",
        "sequences",
        "tokens",
        "charged_s",
        "wall_s",
        "progress",
    ]


async def test_s_changes_the_smoothing_and_z_leaves_zoom_and_cursor() -> None:
    feed = FakeFeed()
    async with _dashboard(feed).run_test(size=SIZE) as pilot:
        await pilot.pause()
        await _press(pilot, "s", "s", "s")
        assert [request.smoothing for request in _asked(feed)] == list(SMOOTHINGS[1:])
        assert feed.current.series is not None and not feed.current.series.smoothed
        await _press(pilot, "plus", "left", "left")
        assert _asked(feed)[-1].window is not None
        assert "step 9," in screen_text(pilot.app)
        text = await _press(pilot, "z")
        assert _asked(feed)[-1].window is None
        assert "━━ train" in text


async def test_the_cursor_shows_the_values_and_the_event_there() -> None:
    feed = FakeFeed()
    async with _dashboard(feed).run_test(size=SIZE) as pilot:
        await pilot.pause()
        app = pilot.app
        assert isinstance(app, Dashboard)
        await app.show_at(6764)
        text = await _press(pilot)
    assert "at 29.4 %  step 6,764" in text
    assert "warning loss_spike" in text
    assert "smoothed" in text and "validation 2." in text


async def test_a_step_that_is_not_known_leaves_the_chart_as_it_is() -> None:
    feed = FakeFeed()
    async with _dashboard(feed).run_test(size=SIZE) as pilot:
        await pilot.pause()
        app = pilot.app
        assert isinstance(app, Dashboard)
        await app.show_at(10**9)
        assert "━━ train" in await _press(pilot)


async def test_m_compares_with_the_paper_with_its_source_and_again_with_nothing() -> None:
    async with _dashboard(FakeFeed()).run_test(size=SIZE) as pilot:
        await pilot.pause()
        await pilot.press("m")
        await pilot.pause()
        assert isinstance(pilot.app.screen, ReferenceDialog)
        await pilot.press("down", "enter")
        await pilot.pause()
        text = screen_text(pilot.app)
        assert "nats and" in text and "behind 24hBERT" in text
        assert PUBLISHED.source[:30] in text
        await pilot.press("m")
        await pilot.pause()
        await pilot.press("up", "enter")
        await pilot.pause()
        assert "24hBERT" not in screen_text(pilot.app)


async def test_another_run_is_compared_and_a_refusal_is_shown_in_the_dialog() -> None:
    feed = FakeFeed()
    older = feed.status.jobs[0].model_copy(update={"id": 7, "run_id": "7-older", "name": "older"})
    feed.older_jobs = [older]
    async with _dashboard(feed).run_test(size=SIZE) as pilot:
        await pilot.pause()
        await pilot.press("m")
        await pilot.pause()
        assert "7-older" in screen_text(pilot.app)
        feed.refusal = UnknownJobError("7-older: no such run")
        await _press(pilot, "down", "down", "enter")
        assert await eventually(pilot, "no such run")
        feed.refusal = None
        await pilot.press("enter")
        assert await eventually(pilot, "nats")
        text = screen_text(pilot.app)
    assert ("reference", "7-older") in feed.asked
    assert "7-older" in text and "nats" in text


async def test_another_run_is_shown_without_the_window_of_the_one_before() -> None:
    feed = FakeFeed()
    async with _dashboard(feed).run_test(size=SIZE) as pilot:
        await pilot.pause()
        await _press(pilot, "plus")
        assert _asked(feed)[-1].window is not None
        other = feed.status.runs[0].model_copy(update={"id": "13-other"})
        feed.set_runs([other])
        feed.current = replace(feed.current, run_id="13-other")
        app = pilot.app
        assert isinstance(app, Dashboard)
        app.show_newest()
        await _press(pilot)
        assert _asked(feed)[-1].window is None
