"""The palettes as Textual themes: for the style sheet, and for the parts that bertd does not draw."""

from __future__ import annotations

from dataclasses import replace

from textual.theme import BUILTIN_THEMES, Theme

from tui.palettes import PALETTES


def make_theme(palette: str) -> Theme:
    """The theme of a palette, whose variables are the colours of roles: `$role-good` in the style sheet."""
    colors = PALETTES[palette]
    # Halves the bytes, as no cell needs a background colour.
    base = BUILTIN_THEMES["ansi-light" if palette == "light" else "ansi-dark"]
    return replace(
        base,
        name=f"bertd-{palette}",
        primary=colors["key"],
        secondary=colors["train"],
        accent=colors["waiting"],
        warning=colors["waiting"],
        error=colors["bad"],
        success=colors["good"],
        variables=base.variables | {f"role-{role}": color for role, color in colors.items()},
    )
