"""Curves are drawn where their points are, at any size."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from tui.drawing.glyphs import ASCII, UNICODE, Glyphs
from tui.drawing.lines import Role
from tui.drawing.plot import Curve, DrawingCache, Plot
from tui.drawing.ticks import Scale

_BLANK = {" ", "⠀"}


def _plot(points: list[tuple[float, float]], **changes: object) -> Plot:
    plot = Plot(
        curves=[Curve(points, Role.CURVE)],
        x=Scale(0.0, 1.0),
        y=Scale(0.0, 1.0),
        x_label=lambda x: f"{x:g}",
        x_ticks=[0.0, 0.5, 1.0],
        y_label=lambda ticks: ["t" for _ in ticks],
    )
    return Plot(**(vars(plot) | changes))


def _area(plot: Plot, *, width: int, height: int, glyphs: Glyphs = UNICODE) -> list[str]:
    """The drawing without the axes: 3 columns on the left and the x axis at the bottom."""
    return [one.plain[3:] for one in plot.draw(width=width, height=height, glyphs=glyphs)[:-1]]


_POINTS = st.lists(
    st.tuples(st.floats(0, 1), st.one_of(st.floats(0, 1), st.just(math.nan))), min_size=1, max_size=60
).map(lambda points: sorted(points, key=lambda point: point[0]))


@given(points=_POINTS, width=st.integers(11, 90), height=st.integers(3, 20), glyphs=st.sampled_from([UNICODE, ASCII]))
def test_each_point_has_ink_in_its_cell_and_the_size_is_exact(
    points: list[tuple[float, float]], width: int, height: int, glyphs: Glyphs
) -> None:
    lines = _plot(points).draw(width=width, height=height, glyphs=glyphs)
    assert len(lines) == height
    assert all(one.width == width for one in lines)
    area = [one.plain[3:] for one in lines[:-1]]
    across, down = (2, 4) if glyphs.is_braille else (1, 1)
    for x, y in points:
        if math.isfinite(y):
            column = round(x * (len(area[0]) * across - 1)) // across
            row = round((1 - y) * (len(area) * down - 1)) // down
            assert area[row][column] not in _BLANK


@given(points=_POINTS.filter(lambda points: all(math.isfinite(y) for _, y in points)), width=st.integers(11, 90))
def test_a_curve_without_gaps_has_ink_in_every_column_between_its_ends(
    points: list[tuple[float, float]], width: int
) -> None:
    area = _area(_plot(points), width=width, height=8)
    dots = len(area[0]) * 2 - 1
    first, last = (round(x * dots) // 2 for x in (points[0][0], points[-1][0]))
    for column in range(first, last + 1):
        assert any(row[column] not in _BLANK for row in area)


def test_a_gap_is_left_white() -> None:
    points = [(0.0, 0.5), (0.3, 0.5), (0.5, math.nan), (0.7, 0.5), (1.0, 0.5)]
    area = _area(_plot(points), width=43, height=5)
    between = range(round(0.35 * 40), round(0.65 * 40))
    assert all(row[column] in _BLANK for row in area for column in between)
    assert any(row[2] not in _BLANK for row in area)


def test_a_spike_of_one_point_among_thousands_shows_at_any_width() -> None:
    points = [(index / 5000, 0.1) for index in range(5000)]
    points[2500] = (0.5, 0.99)
    for width in (20, 60, 119):
        assert any(sign not in _BLANK for sign in _area(_plot(points), width=width, height=10)[0])


def test_points_outside_the_scale_are_not_drawn_on_its_edge() -> None:
    area = _area(_plot([(0.0, 5.0), (0.4, 5.0)]), width=43, height=6)
    assert all(sign in _BLANK for row in area for sign in row)


def test_a_later_curve_lies_over_an_earlier_one() -> None:
    flat = [(0.0, 0.5), (1.0, 0.5)]
    plot = _plot(flat, curves=[Curve(flat, Role.TRAIN), Curve(flat, Role.VALIDATION)])
    roles = {span.role for one in plot.draw(width=43, height=5, glyphs=UNICODE) for span in one.spans if span.text}
    assert Role.VALIDATION in roles
    assert Role.TRAIN not in roles


def test_a_light_curve_has_about_half_the_dots() -> None:
    solid = [(index / 100, value) for index in range(100) for value in (0.2, 0.8)]
    full, light = (
        sum(bin(ord(sign) - 0x2800).count("1") for row in _area(plot, width=43, height=9) for sign in row if sign > "⠀")
        for plot in (_plot(solid), _plot(solid, curves=[Curve(solid, Role.TRAIN, is_light=True)]))
    )
    assert 0.4 * full < light < 0.6 * full


def test_ascii_has_no_other_signs() -> None:
    text = "".join(one.plain for one in _plot([(0.0, 0.1), (1.0, 0.9)]).draw(width=40, height=8, glyphs=ASCII))
    assert text.isascii()


def test_there_is_no_chart_where_there_is_no_room() -> None:
    assert _plot([(0.0, 0.5)]).draw(width=9, height=8, glyphs=UNICODE) == []
    assert _plot([(0.0, 0.5)]).draw(width=40, height=2, glyphs=UNICODE) == []


def test_a_drawing_is_kept_while_its_points_and_size_stay() -> None:
    kept, drawn, points = DrawingCache(), [], [(0.0, 0.5)]

    def draw() -> list[object]:
        drawn.append(1)
        return []

    for size in ((10, 5), (10, 5), (12, 5)):
        kept.lines(points, *size, draw=draw)  # type: ignore[arg-type]  # What it keeps does not matter here.
    assert len(drawn) == 2
