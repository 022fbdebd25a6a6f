"""Digits three lines tall, for figures that should be readable from a distance."""

from __future__ import annotations

from tui.drawing.glyphs import Glyphs
from tui.drawing.lines import Line, Role, line

_DIGIT_ROWS = {
    "0": ("┏━┓", "┃ ┃", "┗━┛"),
    "1": ("╺┓ ", " ┃ ", "╺┻╸"),
    "2": ("╺━┓", "┏━┛", "┗━╸"),
    "3": ("╺━┓", " ━┫", "╺━┛"),
    "4": ("╻ ╻", "┗━┫", "  ╹"),
    "5": ("┏━╸", "┗━┓", "╺━┛"),
    "6": ("┏━╸", "┣━┓", "┗━┛"),
    "7": ("╺━┓", "  ┃", "  ╹"),
    "8": ("┏━┓", "┣━┫", "┗━┛"),
    "9": ("┏━┓", "┗━┫", "╺━┛"),
    ":": (" ", ":", " "),
}


def digits(text: str, *, glyphs: Glyphs) -> list[Line]:
    """Three lines; in ASCII, the plain text in the middle one."""
    if not glyphs.is_braille:
        return [line(" " * len(text)), line((text, Role.STRONG)), line(" " * len(text))]
    rows = zip(*(_DIGIT_ROWS[symbol] for symbol in text), strict=True)
    return [line((" ".join(row), Role.STRONG)) for row in rows]
