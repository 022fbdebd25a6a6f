"""Canvas that draws one panel."""

from __future__ import annotations

from textual import events

from tui.display_options import DisplayOptions, DrawFunction
from tui.drawing.lines import Line
from tui.snapshot import Snapshot
from tui.widgets.canvas import Canvas


class Panel(Canvas):
    """Redraws each snapshot at its current size."""

    def __init__(
        self, draw: DrawFunction, *, id: str, classes: str | None = None, is_always_fresh: bool = False
    ) -> None:
        super().__init__(id=id, classes=classes)
        self._draw = draw
        self._is_always_fresh = is_always_fresh
        self._newest: tuple[Snapshot, DisplayOptions] | None = None

    def update(self, snapshot: Snapshot, options: DisplayOptions) -> None:
        """Show a snapshot."""
        self._newest = (snapshot, options)
        self.redraw()

    def on_resize(self, event: events.Resize) -> None:
        """Redraw at the new size."""
        self.redraw()

    @property
    def drawn_size(self) -> tuple[int, int]:
        """Width in cells and height in lines that the panel may draw."""
        return self.size.width, self.size.height

    def compose_lines(self, drawn: list[Line]) -> list[Line]:
        """Select the visible part of the drawn lines."""
        return drawn

    def redraw(self) -> None:
        """Draw the newest snapshot again."""
        width, height = self.size
        if self._newest is None or not self.display or width < 1 or height < 1:
            return
        snapshot, options = self._newest
        lines = self.compose_lines(self._draw(snapshot, options, *self.drawn_size))
        if not options.glyphs.is_braille:
            lines = [line.fit(width).in_ascii for line in lines]
        self.show(lines, is_stale=not (self._is_always_fresh or snapshot.link.is_fresh))
