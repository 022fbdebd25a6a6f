"""Draw curves as text: braille dots, two across and four down per cell, or one letter per cell in ASCII.

For each column of dots, a curve becomes the span from its lowest to its highest point there, joined to the neighbouring
columns. So a spike of one step is visible at any width. A NaN leaves a gap. Later curves cover earlier ones: a cell
belongs to one curve and has one colour.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tui.drawing.glyphs import Glyphs
from tui.drawing.lines import Line, Role, Span
from tui.drawing.ticks import Scale, labels

_BRAILLE_BASE = 0x2800
_DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
"""Bit of each dot in a braille cell: column, then row from the top."""


@dataclass(frozen=True)
class Curve:
    """Points in order of x; NaN as y is a gap."""

    points: Sequence[tuple[float, float]]
    role: Role
    letter: str = "*"
    """Draws the curve in ASCII."""
    is_light: bool = False
    """Draw every other dot, to distinguish the curve where there are no colours."""


@dataclass(frozen=True)
class Band:
    """An area between two curves, drawn as sparse dots."""

    points: Sequence[BandPoint]
    role: Role


@dataclass(frozen=True)
class BandPoint:
    """One x with both edges."""

    x: float
    low: float
    high: float


@dataclass(frozen=True)
class Mark:
    """A symbol at an x; of several in one cell the one of the highest rank is drawn."""

    x: float
    symbol: str
    role: Role
    rank: int = 0


@dataclass(frozen=True)
class Plot:
    """Curves and their axes."""

    curves: Sequence[Curve]
    x: Scale
    y: Scale
    x_label: Callable[[float], str]
    x_ticks: Sequence[float]
    y_label: Callable[[list[float]], list[str]] = labels
    marks: Sequence[Mark] = ()
    """Drawn in a row of their own, or, without one, in the free cells of the x axis."""
    has_mark_row: bool = False
    """Whether the row above the x axis is for the marks."""
    bands: Sequence[Band] = ()
    """Below the curves."""
    shaded: Sequence[tuple[float, float]] = ()
    """Ranges of x whose free cells are shaded."""
    cursor: float | None = None
    """x of a vertical line through the free cells."""

    def draw(self, *, width: int, height: int, glyphs: Glyphs) -> list[Line]:
        """`height` lines of `width` cells, the last one the x axis; no lines if the space is too small."""
        rows = height - 2 if self.has_mark_row else height - 1
        ticks = [tick for tick in self.y.ticks(max(2, rows * 2 // 5)) if 0 <= self.y.share(tick) <= 1]
        names = self.y_label(ticks)
        gutter = max((len(name) for name in names), default=0) + 2
        columns = width - gutter
        if rows < 2 or columns < 8:
            return []
        name_by_row = {_row(self.y.share(tick), rows): name for tick, name in zip(ticks, names, strict=True)}
        cells = self._cells(columns, rows, glyphs)
        lines = [Line((*_y_axis(name_by_row.get(row), gutter, glyphs), *_spans(cells[row]))) for row in range(rows)]
        if self.has_mark_row:
            lines.append(Line((Span(" " * gutter), *_spans(self._mark_row(columns)))))
        return [*lines, Line((Span(" " * gutter), *self._x_axis(columns)))]

    def _cells(self, columns: int, rows: int, glyphs: Glyphs) -> list[list[tuple[str, Role]]]:
        cells = [[(" ", Role.TEXT)] * columns for _ in range(rows)]
        across, down = (2, 4) if glyphs.is_braille else (1, 1)
        for low, high in self.shaded:
            for column in self._columns_between(low, high, columns):
                for line in cells:
                    line[column] = (glyphs.shade, Role.FAINT)
        if (at := self._column(self.cursor, columns)) is not None:
            for line in cells:
                line[at] = (glyphs.axis, Role.KEY)
        for band in self.bands:
            edges = [
                self._dot_spans(
                    [(at.x, y) for at, y in zip(band.points, ys, strict=True)], columns * across, rows * down
                )
                for ys in ([at.low for at in band.points], [at.high for at in band.points])
            ]
            between = {x: (edges[1][x][0], edges[0][x][1]) for x in edges[0].keys() & edges[1].keys()}
            for (column, row), pattern in _braille_patterns(between, across, down, is_sparse=True).items():
                symbol = chr(_BRAILLE_BASE + pattern) if glyphs.is_braille else ":"
                cells[row][column] = (symbol, band.role)
        for curve in self.curves:
            dot_spans = self._dot_spans(curve.points, columns * across, rows * down)
            for (column, row), pattern in _braille_patterns(dot_spans, across, down, is_light=curve.is_light).items():
                symbol = chr(_BRAILLE_BASE + pattern) if glyphs.is_braille else curve.letter
                cells[row][column] = (symbol, curve.role)
        return cells

    def _column(self, x: float | None, columns: int) -> int | None:
        """The column of an x; None where it is not visible."""
        if x is None or not math.isfinite(share := self.x.share(x)):
            return None
        at = round(share * (columns - 1))
        return at if 0 <= at < columns else None

    def _columns_between(self, low: float, high: float, columns: int) -> range:
        """The visible columns of a range; at least one for a range that begins or ends in view."""
        if self.x.share(high) < 0 or self.x.share(low) > 1:
            return range(0)
        first, last = (round(self.x.share(x) * (columns - 1)) for x in (low, high))
        return range(max(0, first), min(columns - 1, last) + 1)

    def _mark_row(self, columns: int) -> list[tuple[str, Role]]:
        cells = [(" ", Role.TEXT)] * columns
        for mark in sorted(self.marks, key=lambda mark: mark.rank):
            if (column := self._column(mark.x, columns)) is not None:
                cells[column] = (mark.symbol, mark.role)
        return cells

    def _dot_spans(self, points: Sequence[tuple[float, float]], width: int, height: int) -> dict[int, tuple[int, int]]:
        """For each column of dots, the first and last row of dots that the curve covers."""
        spans: dict[int, tuple[int, int]] = {}
        before: tuple[float, float] | None = None
        for x, y in points:
            share_x, share_y = self.x.share(x), self.y.share(y)
            if not (math.isfinite(share_x) and math.isfinite(share_y)):
                before = None
                continue
            here = (share_x * (width - 1), (1 - share_y) * (height - 1))
            _draw_stroke(spans, before or here, here, width)
            before = here
        return {column: rows for column, span in spans.items() if (rows := _clip(span, height)) is not None}

    def _x_axis(self, columns: int) -> list[Span]:
        text = [" "] * columns
        roles = [Role.MUTED] * columns
        labelled: set[int] = set()
        free_from = 0
        for tick in self.x_ticks:
            name = self.x_label(tick)
            at = round(self.x.share(tick) * (columns - 1))
            start = min(max(0, at - len(name) // 2), columns - len(name))
            if start < free_from or not 0 <= at < columns:
                continue
            text[start : start + len(name)] = name
            labelled |= set(range(start, start + len(name)))
            free_from = start + len(name) + 2
        for column, (symbol, role) in enumerate([] if self.has_mark_row else self._mark_row(columns)):
            if symbol != " " and column not in labelled:
                text[column], roles[column] = symbol, role
        return _spans(list(zip(text, roles, strict=True)))


class DrawingCache:
    """Keeps a chart's last drawing: its points change far less often than the screen is updated."""

    def __init__(self) -> None:
        self._key: tuple[object, ...] = ()
        self._lines: list[Line] = []

    def lines(self, *key: object, draw: Callable[[], list[Line]]) -> list[Line]:
        """The last drawing if all parts of `key` are the same objects, or equal numbers or texts, else a new one."""
        if len(key) != len(self._key) or not all(map(_is_same, self._key, key)):
            self._key, self._lines = key, draw()
        return self._lines


def _is_same(old: object, new: object) -> bool:
    return old is new or (isinstance(new, int | float | str) and old == new)


def _row(share: float, rows: int) -> int:
    """The text row, from the top, at a share of the height."""
    return min(rows - 1, max(0, int((1 - share) * rows)))


def _y_axis(name: str | None, gutter: int, glyphs: Glyphs) -> tuple[Span, Span]:
    if name is None:
        return Span(" " * (gutter - 1)), Span(glyphs.axis, Role.FAINT)
    return Span(f"{name:>{gutter - 2}} ", Role.MUTED), Span(glyphs.tick, Role.FAINT)


def _draw_stroke(
    spans: dict[int, tuple[int, int]], start: tuple[float, float], end: tuple[float, float], width: int
) -> None:
    """Widen the span of each column that the stroke crosses, up to half-way into its neighbours."""
    (x0, y0), (x1, y1) = start, end
    first, last = max(0, round(x0)), min(width - 1, round(x1))
    is_vertical = x1 - x0 < 1e-6  # Less than 1e-6 dots apart: the slope could overflow.
    slope = 0.0 if is_vertical else (y1 - y0) / (x1 - x0)
    for column in range(first, last + 1):
        near, far = max(x0, column - 0.5), min(x1, column + 0.5)
        near_y, far_y = (y0, y1) if is_vertical else (y0 + slope * (near - x0), y0 + slope * (far - x0))
        low, high = sorted((round(near_y), round(far_y)))
        known = spans.get(column)
        spans[column] = (low, high) if known is None else (min(known[0], low), max(known[1], high))


def _clip(span: tuple[int, int], height: int) -> tuple[int, int] | None:
    low, high = max(0, span[0]), min(height - 1, span[1])
    return (low, high) if low <= high else None


def _braille_patterns(
    dot_spans: dict[int, tuple[int, int]], across: int, down: int, *, is_light: bool = False, is_sparse: bool = False
) -> dict[tuple[int, int], int]:
    """Braille patterns by column and row of text."""
    cells: dict[tuple[int, int], int] = {}
    for column, (low, high) in dot_spans.items():
        for row in range(low, high + 1):
            if (is_light and (column + row) % 2) or (is_sparse and (column % 4 or row % 3)):
                continue
            where = (column // across, row // down)
            cells[where] = cells.get(where, 0) | _DOTS[column % across][row % down]
    return cells


def _spans(cells: list[tuple[str, Role]]) -> list[Span]:
    """Merge neighbouring cells of one role into one span."""
    spans: list[Span] = []
    for symbol, role in cells:
        if spans and spans[-1].role is role:
            spans[-1] = Span(spans[-1].text + symbol, role)
        else:
            spans.append(Span(symbol, role))
    return spans
