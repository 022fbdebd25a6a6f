"""How a person wants things drawn; nothing here changes what is said."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tui.glyphs import UNICODE, Glyphs
from tui.lines import Line
from tui.snapshot import Snapshot


@dataclass(frozen=True)
class DisplayOptions:
    """The switches of the display."""

    glyphs: Glyphs = UNICODE
    has_color: bool = True
    log_y: bool = False
    """Loss on a logarithmic axis."""
    whole_budget: bool = False
    """The x axis is the whole budget, not only the part that is spent."""
    is_readonly: bool = False


DrawFunction = Callable[[Snapshot, DisplayOptions, int, int], list[Line]]
"""Draws a panel of at most `height` lines of at most `width` cells: draw(snapshot, look, width, height)."""
