"""The terminal shows what the compositor holds, after any sequence of updates, keys and dialogs."""

from __future__ import annotations

import random

import pytest
from textual.app import App
from textual.pilot import Pilot

from tests.tui.fake_feed import NOW
from tests.tui.terminal_cells import TerminalCells, WatchedTerminal
from tui.dashboard import Dashboard
from tui.display_options import DisplayOptions
from tui.simulated.feed import SimulatedFeed

_SIZES = [(120, 40), (80, 24), (60, 20), (200, 60)]
_KEYS = [*"12345Sfxc", "enter", "escape", "tab", "question_mark", "ctrl+p", "down", "end"]
_NUM_CHANGES = 30
_NUM_SECONDS = 10
_MAX_PAUSES = 500


@pytest.fixture
def clock() -> list[float]:
    return [NOW]


@pytest.fixture
def app(clock: list[float]) -> Dashboard:
    return Dashboard(SimulatedFeed(clock=lambda: clock[0]), options=DisplayOptions())


def _watch(app: Dashboard, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]) -> WatchedTerminal:
    terminal = WatchedTerminal(app, size=size)
    monkeypatch.setattr(App, "_display", lambda _, screen, renderable: terminal.display(screen, renderable))
    return terminal


async def _assert_settles(pilot: Pilot[None], terminal: WatchedTerminal, after: str) -> None:
    """Updates are painted by timers, so wait until nothing differs any more."""
    wrong: list[str] = []
    for _ in range(_MAX_PAUSES):
        await pilot.pause()
        wrong = terminal.cells.differences(terminal.expected)
        if not wrong:
            return
    assert not wrong, f"after {after}: {wrong[:3]}"


@pytest.mark.parametrize("keys", [("S", "x", "enter"), ("question_mark",), ("ctrl+p",)])
async def test_the_screen_below_a_dialog_shows_true_figures_for_as_long_as_it_is_open(
    keys: tuple[str, ...], app: Dashboard, clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = _watch(app, monkeypatch, (120, 40))
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause()
        await pilot.press(*keys)
        for second in range(_NUM_SECONDS):
            clock[0] += 1.03
            app.show_newest()
            await _assert_settles(pilot, terminal, f"{second} s")
        await pilot.press("escape")
        await _assert_settles(pilot, terminal, "closing it")


@pytest.mark.parametrize("seed", range(4))
async def test_the_terminal_equals_the_compositor_after_random_changes(
    seed: int, app: Dashboard, clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    chance, size = random.Random(seed), _SIZES[seed]
    terminal = _watch(app, monkeypatch, size)
    async with app.run_test(size=size) as pilot:
        for number in range(_NUM_CHANGES):
            if chance.random() < 0.6:
                change = f"a second, number {number}"
                clock[0] += chance.choice([0.07, 1.0, 1.7, 60.0])
                app.show_newest()
            elif chance.random() < 0.9:
                change = chance.choice(_KEYS)
                await pilot.press(change)
            else:
                size = chance.choice([other for other in _SIZES if other != size])
                change = f"a resize to {size}"
                terminal.resize(size)
                await pilot.resize_terminal(*size)
            await _assert_settles(pilot, terminal, change)


@pytest.mark.parametrize("way", ["ctrl+l", "resume"])
@pytest.mark.parametrize("keys", [(), ("question_mark",)])
async def test_a_terminal_that_lost_its_cells_gets_all_of_them_again(
    way: str, keys: tuple[str, ...], app: Dashboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = _watch(app, monkeypatch, (80, 24))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press(*keys)
        await _assert_settles(pilot, terminal, "the start")
        terminal.resize((80, 24))
        if way == "resume":
            app._resume_signal()
        else:
            await pilot.press(way)
        await _assert_settles(pilot, terminal, way)


def test_a_terminal_blanks_the_other_half_of_an_overwritten_wide_character() -> None:
    cells = TerminalCells(4, 1)
    cells.write("\x1b[1;1H漢字")
    cells.write("\x1b[1;2Hx")
    assert cells.lines == [" x字"]
