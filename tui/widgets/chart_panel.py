"""Panel with a chart that a mouse can point at, zoom and drag."""

from __future__ import annotations

from textual import events
from textual.message import Message

from tui.widgets.panel import Panel


class ChartPanel(Panel):
    """Says where on its x axis the mouse acted, as a share of the visible range; the y axis is not part of it."""

    class Pointed(Message):
        """A click."""

        def __init__(self, share: float) -> None:
            super().__init__()
            self.share = share

    class Wheeled(Message):
        """The wheel was turned; up zooms in."""

        def __init__(self, share: float, *, into: bool) -> None:
            super().__init__()
            self.share, self.into = share, into

    class Dragged(Message):
        """The curves are drawn along by a share of the visible range; positive: to the right."""

        def __init__(self, share: float) -> None:
            super().__init__()
            self.share = share

    _held_x: int | None = None
    """Cell from which the mouse has been dragged so far, while its button is down."""
    _has_moved = False

    def on_mouse_down(self, event: events.MouseDown) -> None:
        """A click, or the start of dragging."""
        if self._share(event.x) is not None:
            self.capture_mouse()
            self._held_x, self._has_moved = event.x, False

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """Draw the curves along."""
        if self._held_x is None or event.x == self._held_x:
            return
        _, columns = self._chart_columns()
        self.post_message(self.Dragged((event.x - self._held_x) / max(1, columns - 1)))
        self._held_x, self._has_moved = event.x, True

    def on_mouse_up(self, event: events.MouseUp) -> None:
        """The end of dragging, or of a click."""
        self.release_mouse()
        was_held, self._held_x = self._held_x is not None, None
        share = self._share(event.x)
        if was_held and not self._has_moved and share is not None:
            self.post_message(self.Pointed(share))

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Zoom in."""
        self._wheel(event, into=True)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Zoom out."""
        self._wheel(event, into=False)

    def _wheel(self, event: events.MouseEvent, *, into: bool) -> None:
        share = self._share(event.x)
        if share is not None:
            event.stop()
            self.post_message(self.Wheeled(share, into=into))

    def _share(self, x: int) -> float | None:
        """The place of a cell on the x axis; None left of it, or without a chart."""
        first, columns = self._chart_columns()
        return (x - first) / (columns - 1) if first <= x < first + columns and columns > 1 else None

    def _chart_columns(self) -> tuple[int, int]:
        """The first cell right of the drawn y axis, and how many cells there are from there on; 0 without a chart."""
        if self._newest is None:
            return 0, 0
        glyphs = self._newest[1].glyphs
        for drawn in self.lines[1:]:
            at = next((at for at, symbol in enumerate(drawn.plain) if symbol in (glyphs.axis, glyphs.tick)), None)
            if at is not None:
                return at + 1, self.size.width - at - 1
        return 0, 0
