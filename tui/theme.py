"""Textual's colours for what bertd does not draw itself: dialogs, palette, messages."""

from __future__ import annotations

from dataclasses import replace

from textual.theme import BUILTIN_THEMES, Theme

THEME: Theme = replace(
    # The terminal's own background and text; also half the bytes, as no cell carries a background colour.
    BUILTIN_THEMES["ansi-dark"],
    name="bertd",
    primary="#56b4e9",
    secondary="#cc79a7",
    accent="#e69f00",
    warning="#e69f00",
    error="#d55e00",
    success="#009e73",
)
