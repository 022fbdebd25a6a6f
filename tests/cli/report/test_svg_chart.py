"""bertd.cli.report.svg_chart."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertd.cli.report.document import Chart, Series
from bertd.cli.report.svg_chart import draw_chart, format_tick, round_ticks


def draw(points: list[tuple[float, float]], *, is_share: bool = False) -> str:
    return draw_chart(Chart("Loss", "step", "nats", [Series("loss", points)], is_x_share=is_share), id_="x")


@given(st.floats(-1e9, 1e9), st.floats(1e-6, 1e9))
def test_ticks_are_few_round_and_inside(low: float, width: float) -> None:
    high = low + width
    if high - low < abs(low) * 1e-9:
        return
    ticks = round_ticks(low, high)
    assert 1 <= len(ticks) <= 7
    slack = (high - low) * 1e-6
    assert all(low - slack <= tick <= high + slack for tick in ticks)


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(allow_nan=True, allow_infinity=True)), max_size=80))
def test_any_values_are_drawn_inside_the_picture(points: list[tuple[float, float]]) -> None:
    points = [(x, y if abs(y) < 1e12 else math.nan) for x, y in sorted(points)]
    drawn = draw(points, is_share=True)
    if not any(math.isfinite(y) for _, y in points):
        assert drawn == ""
        return
    ET.fromstring(drawn)
    for x, y in re.findall(r"[ML](-?[\d.]+) (-?[\d.]+)", re.findall(r'class="curve.*?d="(.*?)"', drawn)[0]):
        assert 0 <= float(x) <= 760
        assert 0 <= float(y) <= 300


def test_a_gap_parts_the_curve() -> None:
    drawn = draw([(0.0, 1.0), (1.0, 2.0), (1.0, math.nan), (2.0, 1.5), (3.0, 1.0)])
    assert re.findall(r'class="curve c0" d="(.*?)"', drawn)[0].count("M") == 2


def test_a_spike_does_not_flatten_the_rest() -> None:
    calm = draw([(float(x), 5.0 - x / 100) for x in range(100)])
    spike = draw([(float(x), 1e6 if x == 50 else 5.0 - x / 100) for x in range(100)])
    assert re.findall(r'text-anchor="end">(.*?)<', spike) == re.findall(r'text-anchor="end">(.*?)<', calm)


def test_the_description_says_the_curve_in_words() -> None:
    drawn = draw([(0.0, 6.0), (1.0, 2.0), (2.0, 3.0)])
    assert "loss: from 6 to 3, lowest 2, highest 6" in drawn


@pytest.mark.parametrize(
    ("value", "share", "step", "text"),
    [(0.4, True, 0.2, "40%"), (2.5, False, 0.5, "2.5"), (12_000, False, 2_000, "12k"), (0.002, False, 0.001, "0.002")],
)
def test_ticks_are_written_briefly(value: float, share: bool, step: float, text: str) -> None:
    assert format_tick(value, is_share=share, step=step) == text
