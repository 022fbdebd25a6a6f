"""Every line of the screen is allocated, at every size."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui.layout import WIDE, Content, allocate_lines

_CONTENT = st.builds(Content, num_devices=st.integers(0, 16), num_jobs=st.integers(0, 50))


def _height(given_lines: dict[str, int], width: int) -> int:
    """Total lines of the layout."""
    if width < WIDE:
        return sum(given_lines.values())
    columns = (("speed", "devices"), ("queue", "glue", "events"))
    left, right = (sum(given_lines[name] for name in column) for column in columns)
    top = sum(given_lines[name] for name in ("header", "budget", "loss", "footer"))
    return top + max(left, right)


@given(width=st.integers(20, 250), height=st.integers(1, 100), content=_CONTENT)
def test_no_plan_is_taller_than_the_screen(width: int, height: int, content: Content) -> None:
    assert _height(allocate_lines(width, height, content), width) <= height


@given(width=st.integers(20, 250), height=st.integers(20, 100), content=_CONTENT)
def test_from_twenty_lines_on_every_panel_has_room_and_none_is_wasted(
    width: int, height: int, content: Content
) -> None:
    given_lines = allocate_lines(width, height, content)
    assert all(lines >= 1 for lines in given_lines.values())
    assert given_lines["loss"] >= 6
    assert _height(given_lines, width) == height


@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 40), (200, 60)])
def test_eight_devices_have_a_row_each_or_two_to_a_row(width: int, height: int) -> None:
    assert allocate_lines(width, height, Content(num_devices=8, num_jobs=6))["devices"] in (1 + 4, 1 + 8)
