"""Styled text before it is drawn: a line is a row of spans, a span is text with a role.

Roles are not colours: the screen maps them to colours (app.tcss), `--once` prints only the text. All text passes
through `Span`, the one place that escapes terminal control characters.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from rich.cells import cell_len, chop_cells, set_cell_size

from bertd.terminal_text import terminal_line, terminal_text


class Role(StrEnum):
    """The purpose of a piece of text."""

    TEXT = "text"
    MUTED = "muted"
    """Labels, units, and secondary facts."""
    FAINT = "faint"
    """Rules, axes, the empty part of a bar."""
    STRONG = "strong"
    """The most important figures."""
    TITLE = "title"
    BAR = "bar"
    """The filled part of a bar."""
    GOOD = "good"
    WAITING = "waiting"
    BAD = "bad"
    KEY = "key"
    TRAIN = "train"
    """Single steps; their smoothed curve is SMOOTHED."""
    SMOOTHED = "smoothed"
    VALIDATION = "validation"
    FORECAST = "forecast"
    """What is projected: the loss, the learning rate ahead."""
    REFERENCE = "reference"
    """The curve of another run, or a published one."""
    CURVE = "curve"
    """The only curve of its chart."""


@dataclass(frozen=True)
class Span:
    """One-line text of one role, free of terminal control characters."""

    text: str
    role: Role = Role.TEXT

    def __post_init__(self) -> None:
        if not self.text.isprintable():
            one_line = self.text.replace("\n", " ").replace("\t", " ")
            object.__setattr__(self, "text", terminal_text(one_line))


@dataclass(frozen=True)
class Line:
    """Spans from left to right."""

    spans: tuple[Span, ...] = ()

    @property
    def plain(self) -> str:
        return "".join(span.text for span in self.spans)

    @property
    def width(self) -> int:
        """Terminal cells."""
        return sum(cell_len(span.text) for span in self.spans)

    def __add__(self, other: Line) -> Line:
        return Line(self.spans + other.spans)

    @property
    def in_ascii(self) -> Line:
        """The line for an ASCII-only terminal; other characters become question marks."""
        return Line(tuple(Span(_ascii(span.text), span.role) for span in self.spans))

    def fit(self, width: int) -> Line:
        """The line in exactly `width` cells: cut with an ellipsis, or padded with spaces."""
        missing = width - self.width
        if missing >= 0:
            return Line((*self.spans, Span(" " * missing))) if missing else self
        kept: list[Span] = []
        left = max(0, width - 1)
        for span in self.spans:
            cells = cell_len(span.text)
            if cells > left:
                kept.append(Span(set_cell_size(span.text, left) + "…" if width > 0 else "", span.role))
                break
            kept.append(span)
            left -= cells
        return Line(tuple(kept))

    def cut(self, width: int) -> Line:
        """The line in at most `width` cells."""
        return self if self.width <= width else self.fit(width)


def _ascii(text: str) -> str:
    return text.replace("…", "~").replace("°", " ").encode("ascii", "replace").decode()


def line(*parts: str | tuple[str, Role] | Span) -> Line:
    """A line from spans, (text, role) pairs and plain texts."""
    return Line(tuple(_span(part) for part in parts))


def _span(part: str | tuple[str, Role] | Span) -> Span:
    if isinstance(part, Span):
        return part
    return Span(part) if isinstance(part, str) else Span(*part)


def cell(text: str, width: int, role: Role = Role.TEXT, *, right: bool = False) -> Span:
    """Text as a table cell of exactly `width` terminal cells."""
    fitted = Line((Span(text, role),)).fit(width).plain
    if right:
        stripped = fitted.rstrip(" ")
        fitted = " " * (width - cell_len(stripped)) + stripped
    return Span(fitted, role)


def wrap_words(text: str, width: int) -> list[str]:
    """The text as rows of at most `width` cells, broken at spaces; a word that is wider is broken too."""
    rows = [""]
    for word in terminal_line(text).split(" "):
        candidate = f"{rows[-1]} {word}" if rows[-1] else word
        if cell_len(candidate) <= width:
            rows[-1] = candidate
        elif cell_len(word) <= width:
            rows.append(word)
        else:
            first, *more = chop_cells(candidate, max(1, width))
            rows[-1:] = [first, *more]
    return rows


def justify(left: Line, right: Line, *, width: int, fill: Span | None = None) -> Line:
    """One line with `left` at its start and `right` at its end; without `right` if both do not fit."""
    gap = width - left.width - right.width
    if gap < 1:
        return left.fit(width)
    filler = fill or Span(" ")
    return Line((*left.spans, Span(filler.text * gap, filler.role), *right.spans))


def heading(title: str, right: Line, *, width: int, rule: str) -> Line:
    """A panel's first line: title, faint rule, and `right` at the end."""
    left = line((title, Role.TITLE), " ")
    tail = Line((Span(" "), *right.spans)) if right.spans else right
    return justify(left, tail, width=width, fill=Span(rule, Role.FAINT))


def join_lines(parts: Iterable[Line], *, separator: str) -> Line:
    """Join the non-empty lines into one, with a faint separator between them."""
    spans: list[Span] = []
    for part in parts:
        if part.spans:
            spans.extend((Span(separator, Role.FAINT),) if spans else ())
            spans.extend(part.spans)
    return Line(tuple(spans))


def plain_text(lines: Sequence[Line]) -> str:
    """The lines as text, without trailing spaces."""
    return "\n".join(one.plain.rstrip() for one in lines)
