"""An update paints only the changed cells."""

from __future__ import annotations

import pytest
from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from textual._compositor import ChopsUpdate, LayoutUpdate
from textual.geometry import Region
from textual.strip import Strip

from tests.tui.terminal import Terminal
from tui.drawing.partial_update import PartialUpdate, crop_update

_FRAME_END = "\x1b[?2026l"


def _update() -> ChopsUpdate:
    plain, bold = Style(), Style(bold=True)
    left = Strip([Segment("loss ", plain), Segment("2.317", bold)])
    right = Strip([Segment("queue", plain)])
    return ChopsUpdate([{0: left, 10: right}], [(0, 7, 9), (0, 11, 13)], [[10, 15]])


def test_both_sides_of_a_span_are_cropped() -> None:
    update = crop_update(_update())
    assert isinstance(update, PartialUpdate)
    painted = update.render_segments(Console(color_system="truecolor"))
    assert painted == "\x1b[1;8H\x1b[1m31\x1b[0m\x1b[1;12Hue"


def test_a_whole_layout_is_left_as_it_is() -> None:
    whole = LayoutUpdate([[Strip([Segment("all")])]], Region(0, 0, 3, 1))
    assert crop_update(whole) is whole


@pytest.mark.long
def test_textual_goes_through_it_when_a_figure_changes() -> None:
    with Terminal(["--demo"], columns=120, rows=40) as terminal:
        output = terminal.read_until("of 24h 00m")
        while output.count(_FRAME_END) < 6:
            output += terminal.read_until(_FRAME_END)
    second_by_second = output.split(_FRAME_END)[5]
    assert 0 < len(second_by_second) < 3_000
