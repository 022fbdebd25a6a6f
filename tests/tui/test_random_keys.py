"""Random keys at random sizes against the simulated machine: no exception, no frozen key, memory flat.

In the suite a few hundred keys of fixed seeds; `make fuzz` presses BERTD_FUZZ_CASES of them, of other seeds.
"""

from __future__ import annotations

import gc
import os
import random
from pathlib import Path

import psutil
import pytest
from textual.geometry import Size
from textual.pilot import Pilot

from tests.daemon.api.fuzz_cases import IS_RANDOM, NUM_CASES
from tests.tui.fake_feed import NOW
from tests.tui.replay.test_replay_feed import RECORDED, replay_of
from tests.tui.screen_text import screen_text
from tui.dashboard import Dashboard
from tui.display_options import DisplayOptions
from tui.drawing.glyphs import ASCII, UNICODE
from tui.simulated.feed import SimulatedFeed

_MIN_SIZE, _MAX_SIZE = (60, 20), (200, 60)
_KEYS = [
    *"1234567890lrywztsmxvpPcfSbnUHRudKJCDjkgGnNeoh",
    *("plus", "minus", "comma", "full_stop", "slash", "question_mark", "space", "less_than_sign", "greater_than_sign"),
    *("left_square_bracket", "right_square_bracket", "left", "right", "shift+left", "shift+right", "up", "down"),
    *("pageup", "pagedown", "home", "end", "enter", "enter", "tab", "shift+tab", "escape", "escape", "backspace"),
    *("ctrl+p", "ctrl+l", "f1", "delete", "ctrl+u", "ctrl+a", "é", "漢"),
]
"""All but those that quit or suspend."""
_RESIZE_SHARE = 0.2
_NUM_TOGETHER = 5
"""Keys between two looks at the screen."""
_GROWTH_BYTES = 24 << 20
"""Between the first half of the keys and the second: a screen that is kept for each key would be more."""


class _Clock:
    """A tenth of a second passes with each look, so that the simulated run does not end soon."""

    now = NOW

    def __call__(self) -> float:
        self.now += 0.1
        return self.now


async def _press_random_keys(pilot: Pilot[None], chance: random.Random, *, num_keys: int) -> None:
    app = pilot.app
    assert isinstance(app, Dashboard)
    pressed: list[str] = []
    for number in range(0, num_keys, _NUM_TOGETHER):
        if chance.random() < _RESIZE_SHARE:
            size = Size(chance.randint(_MIN_SIZE[0], _MAX_SIZE[0]), chance.randint(_MIN_SIZE[1], _MAX_SIZE[1]))
            await pilot.resize_terminal(*size)
            pressed.append(f"{size.width}x{size.height}")
        keys = chance.choices(_KEYS, k=_NUM_TOGETHER)
        pressed += keys
        await pilot.press(*keys)
        if number % 20 == 0:
            app.show_newest()
        assert app.is_running and app._exception is None, f"after {pressed}"


async def _answers_keys(pilot: Pilot[None]) -> bool:
    """Whether the keys still work: escape leaves every dialog, and a number shows its view."""
    app = pilot.app
    assert isinstance(app, Dashboard)
    for _ in range(6):
        await pilot.press("escape")
    await pilot.press("5")
    await pilot.press("1")
    return app.current_mode == "run" and len(app.screen_stack) == 1 and "Loss" in screen_text(app)


def _memory_bytes() -> int:
    gc.collect()
    return int(psutil.Process(os.getpid()).memory_info().rss)


@pytest.mark.parametrize("number", range(2))
async def test_random_keys_at_random_sizes_break_nothing(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seed = random.randrange(1 << 30) if IS_RANDOM else number
    num_keys = NUM_CASES // 4  # Twice in each of two tests.
    monkeypatch.chdir(tmp_path)  # `w` writes here.
    chance = random.Random(seed)
    options = DisplayOptions(glyphs=ASCII if number == 1 else UNICODE, has_color=number != 1)
    app = Dashboard(SimulatedFeed(clock=_Clock()), options=options)
    async with app.run_test(size=(120, 40)) as pilot:
        print(f"seed {seed}")  # Shown with a failure.
        await _press_random_keys(pilot, chance, num_keys=num_keys)
        assert await _answers_keys(pilot)
        halfway_bytes = _memory_bytes()
        await _press_random_keys(pilot, chance, num_keys=num_keys)
        assert await _answers_keys(pilot)
        assert _memory_bytes() - halfway_bytes < _GROWTH_BYTES


async def test_random_keys_break_no_replay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seed = random.randrange(1 << 30) if IS_RANDOM else 7
    monkeypatch.chdir(tmp_path)
    feed = replay_of(RECORDED, _Clock())
    app = Dashboard(feed, options=DisplayOptions(), playback=feed.playback)
    async with app.run_test(size=(120, 40)) as pilot:
        print(f"seed {seed}")
        await _press_random_keys(pilot, random.Random(seed), num_keys=NUM_CASES // 4)
        assert await _answers_keys(pilot)
