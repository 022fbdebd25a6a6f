"""The dashboard of a replay: its header, its keys, and the keys that are refused."""

from __future__ import annotations

from textual.pilot import Pilot

from tests.tui.replay.test_replay_feed import RECORDED, replay_of
from tests.tui.screen_text import assert_like_snapshot, screen_text
from tui.dashboard import Dashboard
from tui.display_options import DisplayOptions
from tui.replay.feed import ReplayFeed
from tui.screens.help import HelpScreen


def _dashboard(clock_s: float = 0.0) -> tuple[Dashboard, ReplayFeed]:
    """A replay of which `clock_s` seconds have passed, and no more will."""
    started = [0.0]
    feed = replay_of(RECORDED, lambda: started[0])
    started[0] = clock_s
    feed.catch_up()
    return Dashboard(feed, options=DisplayOptions(), playback=feed.playback), feed


async def _shown(app: Dashboard, feed: ReplayFeed, pilot: Pilot[None]) -> str:
    feed.catch_up()
    app.show_newest()
    await pilot.pause()
    return screen_text(app)


async def test_the_run_is_shown_as_it_was_and_the_header_says_that_it_is_a_replay() -> None:
    app, feed = _dashboard(60.0)
    async with app.run_test(size=(120, 40)) as pilot:
        text = await _shown(app, feed, pilot)
    assert "replay 1x  16:04:39" in text
    assert_like_snapshot(text, "replay-120x40")


async def test_keys_pause_it_change_its_speed_and_jump() -> None:
    app, feed = _dashboard()
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("greater_than_sign", "greater_than_sign", "greater_than_sign", "less_than_sign")
        assert "replay 4x" in await _shown(app, feed, pilot)
        await pilot.press("space")
        assert "replay 4x paused" in await _shown(app, feed, pilot)
        begin_t = feed.playback.now()
        await pilot.press("right_square_bracket", "right_square_bracket")
        assert feed.playback.now() > begin_t
        await pilot.press("left_square_bracket", "left_square_bracket")
        assert abs(feed.playback.now() - begin_t) < 1e-3
        await pilot.press("o")
        assert "paused" not in (await _shown(app, feed, pilot)).splitlines()[0]


async def test_keys_that_act_are_refused_with_the_reason() -> None:
    for key in ("p", "c", "f", "S", "b", "n"):
        app, feed = _dashboard(60.0)
        async with app.run_test(size=(120, 40)) as pilot:
            await pilot.press(key)
            assert "This is a replay of a journal" in await _shown(app, feed, pilot)


async def test_the_help_has_the_keys_of_the_replay_and_not_those_that_act() -> None:
    app, _ = _dashboard()
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("question_mark")
        assert isinstance(app.screen, HelpScreen)
        text = screen_text(app)
        assert "The replay" in text and "jump by 5 %" in text and "Actions on the run" not in text


async def test_every_view_of_a_replay_is_drawn_at_every_size() -> None:
    for size in ((60, 20), (80, 24), (200, 60)):
        app, feed = _dashboard(60.0)
        async with app.run_test(size=size) as pilot:
            for key in "234567801":
                await pilot.press(key)
                assert "1-recorded" in await _shown(app, feed, pilot)
