"""The replay's clock."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tui.replay.playback import MAX_SPEED, MIN_SPEED, Playback


class _Clock:
    def __init__(self) -> None:
        self.now = 50.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> _Clock:
    return _Clock()


@pytest.fixture
def playback(clock: _Clock) -> Playback:
    """A run of a thousand seconds."""
    return Playback(begin_t=1000.0, end_t=2000.0, speed=60.0, clock=clock)


def test_time_passes_at_its_speed_and_stops_at_the_end(playback: Playback, clock: _Clock) -> None:
    assert playback.now() == 1000.0
    clock.now += 10.0
    assert playback.now() == 1600.0 and not playback.state().is_at_end
    clock.now += 10.0
    assert playback.now() == 2000.0 and playback.state().is_at_end


def test_a_pause_keeps_the_time_and_another_one_goes_on_from_there(playback: Playback, clock: _Clock) -> None:
    clock.now += 1.0
    playback.toggle_pause()
    clock.now += 100.0
    assert playback.now() == 1060.0 and playback.state().is_paused
    playback.toggle_pause()
    clock.now += 1.0
    assert playback.now() == 1120.0


def test_another_speed_counts_from_now_on_and_has_bounds(playback: Playback, clock: _Clock) -> None:
    clock.now += 1.0
    playback.multiply_speed(0.5)
    clock.now += 1.0
    assert playback.now() == 1090.0
    playback.multiply_speed(1e-9)
    assert playback.state().speed == MIN_SPEED
    playback.multiply_speed(1e9)
    assert playback.state().speed == MAX_SPEED


def test_a_jump_stays_within_the_run(playback: Playback, clock: _Clock) -> None:
    playback.jump(0.05)
    assert playback.now() == 1050.0
    playback.jump(-0.5)
    assert playback.now() == 1000.0
    playback.jump(2.0)
    assert playback.now() == 2000.0
    clock.now += 100.0
    playback.jump(-0.05)
    assert playback.now() == 1950.0


def test_a_journal_that_grows_is_played_on_from_its_old_end(playback: Playback, clock: _Clock) -> None:
    clock.now += 1000.0
    assert playback.now() == 2000.0
    playback.extend(3000.0)
    assert playback.now() == 2000.0
    clock.now += 1.0
    assert playback.now() == 2060.0


@pytest.mark.parametrize(
    "press", [Playback.toggle_pause, lambda playback: playback.multiply_speed(2.0), lambda playback: playback.jump(0.1)]
)
def test_each_key_wakes_who_waits(playback: Playback, press: Callable[[Playback], None]) -> None:
    press(playback)
    assert playback.changed.is_set()
