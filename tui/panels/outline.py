"""The headings of the Run screen about where they will be, for the moment before the daemon's first answer."""

from __future__ import annotations

from tui.display_options import DisplayOptions
from tui.drawing.lines import Line, Role, heading, line
from tui.layout import WIDE, Content, allocate_lines

_USUAL = Content(num_devices=8, num_jobs=4)
_LEFT = ("speed", "devices")
_RIGHT = ("queue", "glue", "events")
_TITLES = {"loss": "Loss", "speed": "Speed", "devices": "Devices", "queue": "Queue", "events": "Events"}
_LEFT_SHARE = 0.45
_GAP_CELLS = 3
"""Share and gap: as in run.tcss."""


def draw(options: DisplayOptions, width: int, height: int) -> list[Line]:
    """Everything between the header and the footer."""
    screen_width, screen_height = width + 2, height + 2
    heights = allocate_lines(screen_width, screen_height, _USUAL)
    first = [line(("Connecting to the daemon.", Role.MUTED))]
    lines = [*_part(first, heights["budget"]), *_panel("loss", heights, options, width)]
    if screen_width < WIDE:
        return [*lines, *_column((*_LEFT, *_RIGHT), heights, options, width)][:height]
    left_width = int(_LEFT_SHARE * screen_width) - _GAP_CELLS
    left = _column(_LEFT, heights, options, left_width)
    right = _column(_RIGHT, heights, options, max(1, width - left_width - _GAP_CELLS))
    rows = max(len(left), len(right))
    pairs = zip(_part(left, rows), _part(right, rows), strict=True)
    return [*lines, *(one.fit(left_width + _GAP_CELLS) + other for one, other in pairs)][:height]


def _column(names: tuple[str, ...], heights: dict[str, int], options: DisplayOptions, width: int) -> list[Line]:
    return [row for name in names for row in _panel(name, heights, options, width)]


def _panel(name: str, heights: dict[str, int], options: DisplayOptions, width: int) -> list[Line]:
    title = _TITLES.get(name)
    head = [heading(title, Line(), width=width, rule=options.glyphs.rule)] if title is not None else []
    return _part(head, heights[name])


def _part(lines: list[Line], height: int) -> list[Line]:
    """Exactly so many lines."""
    return [*lines, *([Line()] * height)][:height]
