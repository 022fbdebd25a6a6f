"""Bars that show a share to half a cell; readable without colour: thick where full, thin where empty."""

from __future__ import annotations

from tui.drawing.glyphs import Glyphs
from tui.drawing.lines import Role, Span


def bar(share: float, *, width: int, glyphs: Glyphs, role: Role = Role.BAR) -> tuple[Span, ...]:
    """A bar of exactly `width` cells; completely full only if `share` is at least 1."""
    halves = round(2 * width * min(1.0, max(0.0, share)))
    if share < 1:
        halves = min(halves, 2 * width - 1)
    full, half = divmod(halves, 2)
    filled = glyphs.bar_full * full + glyphs.bar_half * half
    return tuple(
        span for span in (Span(filled, role), Span(glyphs.bar_empty * (width - full - half), Role.FAINT)) if span.text
    )
