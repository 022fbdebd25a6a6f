"""Bars that show a share, to half a cell, and read without colour: heavy where full, thin where empty."""

from __future__ import annotations

from tui.glyphs import Glyphs
from tui.lines import Role, Span


def bar(share: float, *, width: int, glyphs: Glyphs, role: Role = Role.BAR) -> tuple[Span, ...]:
    """Exactly `width` cells; full only for the whole share."""
    halves = round(2 * width * min(1.0, max(0.0, share)))
    if share < 1:
        halves = min(halves, 2 * width - 1)
    full, half = divmod(halves, 2)
    filled = glyphs.bar_full * full + glyphs.bar_half * half
    return tuple(
        span for span in (Span(filled, role), Span(glyphs.bar_empty * (width - full - half), Role.FAINT)) if span.text
    )
