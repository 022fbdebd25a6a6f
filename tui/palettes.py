"""The colours of roles. All palettes keep the terminal's own background and text colour.

State is never shown by colour alone, so each of them, and NO_COLOR, loses nothing.
"""

from __future__ import annotations

_COLOR_BLIND = {
    # Okabe and Ito's, told apart with each kind of colour blindness, in tones for a black and a white background.
    "muted": "#8b949e",
    "faint": "#5f666e",
    "stale": "#6c737a",
    "bar": "#56b4e9",
    "key": "#56b4e9",
    "good": "#009e73",
    "waiting": "#e69f00",
    "bad": "#d55e00",
    "train": "#4f7f9f",
    "smoothed": "#56b4e9",
    "forecast": "#cc79a7",
    "reference": "#009e73",
    "validation": "#e69f00",
    "curve": "#56b4e9",
}
_DARK = {
    "muted": "#9ea7b3",
    "faint": "#6e7681",
    "stale": "#7d8590",
    "bar": "#58a6ff",
    "key": "#58a6ff",
    "good": "#3fb950",
    "waiting": "#d29922",
    "bad": "#ff7b72",
    "train": "#6ca0d0",
    "smoothed": "#a5d6ff",
    "forecast": "#d2a8ff",
    "reference": "#56d364",
    "validation": "#f0b72f",
    "curve": "#58a6ff",
}
_LIGHT = {
    "muted": "#57606a",
    "faint": "#858f99",
    "stale": "#6e7781",
    "bar": "#0550ae",
    "key": "#0550ae",
    "good": "#116329",
    "waiting": "#7d4e00",
    "bad": "#b3121d",
    "train": "#3d7ab0",
    "smoothed": "#0550ae",
    "forecast": "#8250df",
    "reference": "#116329",
    "validation": "#9a5b00",
    "curve": "#0550ae",
}
PALETTES = {"colour-blind": _COLOR_BLIND, "dark": _DARK, "light": _LIGHT}
"""Colour of each role by palette. The first is the default: it is readable on both backgrounds."""
DEFAULT_PALETTE = next(iter(PALETTES))
