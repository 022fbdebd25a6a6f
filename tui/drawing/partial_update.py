"""Send only the changed cells to the terminal.

Textual 8.2 knows the changed spans of a line, but repaints each line from the left edge of its widget to the end of
the span (see the TODO in its ChopsUpdate). On this dashboard that is four times the bytes. A subclass that crops both
sides replaces it; its test fails if a later Textual no longer uses ChopsUpdate.

Under a dialog the spans are not used at all: they come from two screens, and where Textual misses one, false figures
stay. There the whole screen is painted.
"""

from __future__ import annotations

from rich.console import Console, RenderableType
from rich.control import Control
from textual._compositor import ChopsUpdate
from textual.screen import Screen


class PartialUpdate(ChopsUpdate):
    """ChopsUpdate with both sides of each span cropped."""

    def render_segments(self, console: Console) -> str:
        """Terminal sequences that paint only the changed spans."""
        sequences: list[str] = []
        for y, x1, x2 in self.spans:
            for end, (x, strip) in zip(self.chop_ends[y], self.chops[y].items(), strict=False):
                start, stop = max(x, x1), min(end, x2)
                if strip is None or start >= stop:
                    continue
                sequences.append(Control.move_to(start, y).segment.text)
                sequences.append(strip.crop(start - x, stop - x).render(console))
        return "".join(sequences)


def whole_update(screen: Screen[object], behind: list[Screen[object]]) -> RenderableType | None:
    """Paint all cells of a dialog and of the screens below it, each rendered from its newest content."""
    for dialog in (screen, *behind[1:]):
        dialog._set_dirty()  # Its cached lines hold the screens below it.
    return screen._compositor.render_update(full=True, screen_stack=behind)


def crop_update(renderable: RenderableType | None) -> RenderableType | None:
    """Replace a ChopsUpdate by its cropped form; return anything else unchanged."""
    if type(renderable) is ChopsUpdate:
        return PartialUpdate(renderable.chops, renderable.spans, renderable.chop_ends)
    return renderable
