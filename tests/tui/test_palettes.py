"""The palettes: readable on their background, told apart by colour-blind people, and never alone in saying a state."""

from __future__ import annotations

import itertools
import math

import pytest

from bertd.records import JobState
from tests.tui.fake_feed import FakeFeed
from tests.tui.screen_text import screen_segments, screen_text
from tui.dashboard import Dashboard
from tui.display_options import DisplayOptions
from tui.drawing.glyphs import ASCII, UNICODE, Glyphs
from tui.palettes import PALETTES

_BACKGROUNDS = {"dark": ["#000000"], "light": ["#ffffff"], "colour-blind": ["#000000", "#ffffff"]}
_MIN_CONTRAST = {"dark": 4.5, "light": 4.5, "colour-blind": 2.2}
"""Of 21. Source of 4.5: WCAG 2.2, 1.4.3; tones for both backgrounds cannot have it on both."""
_FAINT = ("faint", "stale", "train")
_MIN_FAINT_CONTRAST = 2.2
_MEANINGS = ["good", "waiting", "bad"]
# What a dichromat sees, in linear RGB. Source: Machado, Oliveira and Fernandes 2009, severity 1.0.
_DEUTERANOPIA = [(0.367, 0.861, -0.228), (0.280, 0.673, 0.047), (-0.012, 0.043, 0.969)]
_PROTANOPIA = [(0.152, 1.053, -0.205), (0.115, 0.786, 0.099), (-0.004, -0.048, 1.052)]


def _linear(color: str) -> list[float]:
    shares = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    return [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]


def _contrast(one: str, other: str) -> float:
    dark, light = sorted(
        sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), _linear(x), strict=True)) for x in (one, other)
    )
    return (light + 0.05) / (dark + 0.05)


def _seen_distance(one: str, other: str, matrix: list[tuple[float, float, float]]) -> float:
    seen = [[sum(w * c for w, c in zip(row, _linear(x), strict=True)) for row in matrix] for x in (one, other)]
    return math.dist(*seen)


@pytest.mark.parametrize("palette", PALETTES)
def test_each_role_is_readable_on_the_backgrounds_of_its_palette(palette: str) -> None:
    for role, color in PALETTES[palette].items():
        least = _MIN_FAINT_CONTRAST if role in _FAINT else _MIN_CONTRAST[palette]
        for background in _BACKGROUNDS[palette]:
            assert _contrast(color, background) >= least, f"{role} {color} on {background}"


@pytest.mark.parametrize("matrix", [_DEUTERANOPIA, _PROTANOPIA], ids=["deuteranopia", "protanopia"])
def test_the_default_palette_is_told_apart_without_red_or_green(matrix: list[tuple[float, float, float]]) -> None:
    colors = PALETTES["colour-blind"]
    for one, other in [*itertools.combinations(_MEANINGS, 2), ("train", "validation"), ("curve", "bad")]:
        assert _seen_distance(colors[one], colors[other], matrix) > 0.1, f"{one} and {other} look alike"


@pytest.mark.parametrize("palette", PALETTES)
async def test_the_screen_has_the_colours_of_its_palette(palette: str) -> None:
    app = Dashboard(FakeFeed(), options=DisplayOptions(palette=palette))
    async with app.run_test(size=(120, 40)):
        used = {segment.style.color.name for segment in screen_segments(app) if segment.style and segment.style.color}
    assert {PALETTES[palette]["good"], PALETTES[palette]["validation"]} <= used


@pytest.mark.parametrize("palette", PALETTES)
async def test_a_palette_changes_no_character(palette: str) -> None:
    texts = []
    for options in (DisplayOptions(), DisplayOptions(palette=palette), DisplayOptions(has_color=True)):
        app = Dashboard(FakeFeed(), options=options)
        async with app.run_test(size=(120, 40)):
            texts.append(screen_text(app))
    assert len(set(texts)) == 1


@pytest.mark.parametrize("glyphs", [UNICODE, ASCII])
def test_each_state_has_its_symbol_beside_its_word(glyphs: Glyphs) -> None:
    assert set(glyphs.states) == set(JobState)
