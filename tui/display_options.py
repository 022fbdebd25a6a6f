"""Display options of the user: how things are drawn, never which facts are shown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from tui.actions.keys import KeyChoices
from tui.charts.chart_view import ChartView
from tui.drawing.glyphs import UNICODE, Glyphs
from tui.drawing.lines import Line
from tui.palettes import DEFAULT_PALETTE
from tui.snapshot import Snapshot


@dataclass(frozen=True)
class DisplayOptions:
    """The user's choices of how to draw."""

    glyphs: Glyphs = UNICODE
    has_color: bool = True
    log_y: bool = False
    """Loss on a logarithmic axis."""
    chart: ChartView = ChartView()
    """Axis, window and cursor of the charts."""
    whole_budget: bool = False
    """The x axis covers the whole budget, not only the spent part."""
    is_readonly: bool = False
    palette: str = DEFAULT_PALETTE
    is_low_bandwidth: bool = False
    """Send fewer updates to the terminal; keys are answered as fast."""
    keys: KeyChoices = field(default_factory=dict)
    """What the configuration changes of the keys."""


DrawFunction = Callable[[Snapshot, DisplayOptions, int, int], list[Line]]
"""Draws a panel of at most `height` lines of at most `width` cells: draw(snapshot, options, width, height)."""
