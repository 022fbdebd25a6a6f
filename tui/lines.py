"""Text with meaning, before it is drawn: a line is a row of spans, a span is text and the role it plays.

Roles are not colours: the screen gives them colours (app.tcss), `--once` prints the bare text, and every text passes
through `Span`, which makes it safe for a terminal. So there is one gate, and no way round it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from rich.cells import cell_len, set_cell_size

from bertd.terminal_text import terminal_text


class Role(StrEnum):
    """Why a piece of text is there."""

    TEXT = "text"
    MUTED = "muted"
    """Labels, units, and what matters less."""
    FAINT = "faint"
    """Rules, axes, the empty part of a bar."""
    STRONG = "strong"
    """The figures a person came for."""
    TITLE = "title"
    BAR = "bar"
    """The filled part of a bar."""
    GOOD = "good"
    WAITING = "waiting"
    BAD = "bad"
    KEY = "key"
    TRAIN = "train"
    VALIDATION = "validation"
    CURVE = "curve"
    """A curve that is alone in its chart."""


@dataclass(frozen=True)
class Span:
    """Text of one role, on one line, with nothing in it that a terminal obeys."""

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
        """The same for a terminal that shows ASCII alone; what it lacks becomes a question mark."""
        return Line(tuple(Span(_ascii(span.text), span.role) for span in self.spans))

    def fit(self, width: int) -> Line:
        """Exactly `width` cells: cut with an ellipsis, or filled with spaces."""
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


def justify(left: Line, right: Line, *, width: int, fill: Span | None = None) -> Line:
    """One line with `left` at its start and `right` at its end; `right` gives way where both do not fit."""
    gap = width - left.width - right.width
    if gap < 1:
        return left.fit(width)
    filler = fill or Span(" ")
    return Line((*left.spans, Span(filler.text * gap, filler.role), *right.spans))


def heading(title: str, right: Line, *, width: int, rule: str) -> Line:
    """A panel's first line: its name, a faint rule, and its newest figures at the end."""
    left = line((title, Role.TITLE), " ")
    tail = Line((Span(" "), *right.spans)) if right.spans else right
    return justify(left, tail, width=width, fill=Span(rule, Role.FAINT))


def join_lines(parts: Iterable[Line], *, separator: str) -> Line:
    """Lines one after the other, with a faint separator between those that hold anything."""
    spans: list[Span] = []
    for part in parts:
        if part.spans:
            spans.extend((Span(separator, Role.FAINT),) if spans else ())
            spans.extend(part.spans)
    return Line(tuple(spans))


def plain_text(lines: Sequence[Line]) -> str:
    """Lines as text, without the spaces at their ends."""
    return "\n".join(one.plain.rstrip() for one in lines)
