"""Widget that shows lines of text and repaints only the changed cells.

Over SSH each repainted cell costs bytes: redrawing whole charts once a second takes 19 to 130 KB/s with existing
plotting widgets; this widget takes 1 to 3. `show` compares the new lines with the old ones cell by cell and passes only
the changed spans to the compositor.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from tui.drawing.lines import Line, Role

_MERGE_GAP_CELLS = 6
"""Up to this many unchanged cells between two changes are cheaper to repaint than to skip."""

Cells = tuple[tuple[str, Role], ...]
"""One entry per terminal cell; the text of a wide character's second cell is empty."""


ROLE_CLASSES = frozenset({f"canvas--{role}" for role in Role} | {"canvas--stale"})
"""Component classes of every screen that has a canvas. Not of the canvas: Textual matches each against the style sheet
for each widget, which for the panels of Run took a tenth of the time to the first frame."""


class Canvas(Widget):
    """Lines of text, one role per span; colours come from the style sheet, by the screen's ROLE_CLASSES."""

    ALLOW_SELECT: ClassVar[bool] = False

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._lines: list[Line] = []
        self._cells: list[Cells] = []
        self._is_stale = False
        self._styles: dict[Role, Style] = {}

    @property
    def lines(self) -> Sequence[Line]:
        return self._lines

    def show(self, lines: Sequence[Line], *, is_stale: bool = False) -> None:
        """Replace the lines; `is_stale` draws them all in grey, because they may be outdated."""
        width, height = self.size
        fitted = [line.fit(width) for line in lines[:height]]
        fitted += [Line().fit(width)] * (height - len(fitted))
        before, known = self._lines, self._cells
        self._lines = fitted
        if is_stale is not self._is_stale or len(before) != len(fitted):
            self._is_stale = is_stale
            self._styles.clear()
            self._cells = [_cells(line) for line in fitted]
            self.refresh()
            return
        regions: list[Region] = []
        for y, (old, new) in enumerate(zip(before, fitted, strict=True)):
            if old != new:
                cells = _cells(new)
                regions += [Region(start, y, end - start, 1) for start, end in changed_spans(known[y], cells)]
                known[y] = cells
        if regions:
            self.refresh(*regions)

    def notify_style_update(self) -> None:
        """Clear the cached styles after a theme change."""
        super().notify_style_update()
        self._styles.clear()

    def render_line(self, y: int) -> Strip:
        """One line as styled segments."""
        if y >= len(self._lines):
            return Strip.blank(self.size.width, self.rich_style)
        return Strip([Segment(span.text, self._style(span.role)) for span in self._lines[y].spans], self.size.width)

    def _style(self, role: Role) -> Style:
        style = self._styles.get(role)
        if style is None:
            name = "canvas--stale" if self._is_stale else f"canvas--{role}"
            style = self._styles[role] = self.screen.get_component_rich_style(name)
        return style


def _cells(line: Line) -> Cells:
    cells: list[tuple[str, Role]] = []
    for span in line.spans:
        for symbol in span.text:
            width = cell_len(symbol)
            if width == 0 and cells:
                cells[-1] = (cells[-1][0] + symbol, cells[-1][1])
            else:
                cells.extend([(symbol, span.role), *[("", span.role)] * (width - 1)])
    return tuple(cells)


def changed_spans(old: Cells, new: Cells) -> list[tuple[int, int]]:
    """Start and end (exclusive) of each changed range of cells; ranges with a small gap are merged."""
    if old == new:
        return []
    if len(old) != len(new):
        return [(0, max(len(old), len(new)))]
    spans: list[tuple[int, int]] = []
    for at, (before, after) in enumerate(zip(old, new, strict=True)):
        if before == after:
            continue
        if spans and at - spans[-1][1] <= _MERGE_GAP_CELLS:
            spans[-1] = (spans[-1][0], at + 1)
        else:
            spans.append((at, at + 1))
    return [_widen_to_whole_characters(old, new, start, end) for start, end in spans]


def _widen_to_whole_characters(old: Cells, new: Cells, start: int, end: int) -> tuple[int, int]:
    """Widen the range so that it does not split a wide character."""
    while start > 0 and (old[start][0] == "" or new[start][0] == ""):
        start -= 1
    while end < len(new) and (old[end][0] == "" or new[end][0] == ""):
        end += 1
    return start, end
