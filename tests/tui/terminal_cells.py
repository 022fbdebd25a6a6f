"""What a terminal shows after the dashboard has written to it: one character and one style per cell.

Interprets only what an update of Textual contains: cursor positions, styles, line feeds and text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from rich.cells import cell_len
from rich.console import RenderableType
from textual._compositor import CompositorUpdate
from textual.app import App
from textual.screen import Screen

_TOKEN = re.compile(r"\x1b\[(?P<row>\d+);(?P<column>\d+)H|\x1b\[(?P<style>[\d;]*)m|(?P<feed>\n)|(?P<symbol>[^\x1b\n])")


@dataclass
class TerminalCells:
    """A grid of (character, style); the second cell of a wide character is empty."""

    width: int
    height: int
    _cells: list[list[tuple[str, str]]] = field(init=False)

    def __post_init__(self) -> None:
        self._cells = [[(" ", "")] * self.width for _ in range(self.height)]

    @property
    def lines(self) -> list[str]:
        return ["".join(symbol for symbol, _ in row).rstrip() for row in self._cells]

    def write(self, text: str) -> None:
        """Interpret an update; any other control sequence fails the test."""
        x = y = at = 0
        style = ""
        while at < len(text):
            token = _TOKEN.match(text, at)
            assert token is not None, f"a sequence that no update has: {text[at : at + 20]!r}"
            at = token.end()
            if token["row"]:
                x, y = int(token["column"]) - 1, int(token["row"]) - 1
            elif token["symbol"]:
                x += self._put(x, y, token["symbol"], style)
            elif token["feed"]:
                x, y = 0, y + 1
            else:
                style = "" if token["style"] in ("", "0") else token["style"]

    def differences(self, other: TerminalCells) -> list[str]:
        """A line of text for each row that differs."""
        rows = enumerate(zip(self._cells, other._cells, strict=True))
        wrong = [(y, a, b) for y, (a, b) in rows if a != b]
        return [f"{y}: shows {_text(a)!r}, should show {_text(b)!r}" for y, a, b in wrong]

    def _put(self, x: int, y: int, symbol: str, style: str) -> int:
        """Write one character and return its width; half of an overwritten wide character becomes a space."""
        width = cell_len(symbol)
        if width == 0 or not (0 <= y < self.height and 0 <= x <= self.width - width):
            return width
        row = self._cells[y]
        if row[x][0] == "" and x > 0:
            row[x - 1] = (" ", row[x - 1][1])
        after = x + width
        if after < self.width and row[after][0] == "":
            row[after] = (" ", row[after][1])
        row[x:after] = [(symbol, style), *[("", style)] * (width - 1)]
        return width


def _text(row: list[tuple[str, str]]) -> str:
    return "".join(symbol for symbol, _ in row)


class WatchedTerminal:
    """Records what an app would write to its terminal."""

    def __init__(self, app: App[None], *, size: tuple[int, int]) -> None:
        self._app = app
        self.cells = TerminalCells(*size)

    def resize(self, size: tuple[int, int]) -> None:
        self.cells = TerminalCells(*size)

    def display(self, screen: Screen[object], renderable: RenderableType | None) -> None:
        """Stands for App._display, which writes nothing in a batch."""
        if isinstance(renderable, CompositorUpdate) and not self._app._batch_count:
            self.cells.write(renderable.render_segments(self._app.console))
        self._app.post_display_hook()

    @property
    def expected(self) -> TerminalCells:
        """The cells after painting everything from scratch."""
        app = self._app
        for screen in (app.screen, *app._background_screens):
            screen._styles_cache.clear()
        update = app.screen._compositor.render_update(full=True, screen_stack=app._background_screens)
        assert isinstance(update, CompositorUpdate)
        cells = TerminalCells(self.cells.width, self.cells.height)
        cells.write(update.render_segments(app.console))
        return cells
