"""Textual theme for the parts that bertd does not draw: dialogs, command palette, notifications."""

from __future__ import annotations

from dataclasses import replace

from textual.theme import BUILTIN_THEMES, Theme

THEME: Theme = replace(
    # Keeps the terminal's background and text colours; halves the bytes, as no cell needs a background colour.
    BUILTIN_THEMES["ansi-dark"],
    name="bertd",
    primary="#56b4e9",
    secondary="#cc79a7",
    accent="#e69f00",
    warning="#e69f00",
    error="#d55e00",
    success="#009e73",
)
