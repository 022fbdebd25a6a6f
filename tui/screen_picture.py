"""A picture of the screen as SVG, without fonts from the network."""

from __future__ import annotations

import io
import re

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.terminal_theme import DEFAULT_TERMINAL_THEME, SVG_EXPORT_THEME
from textual.app import App

_FONTS = "ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace"
_FORMAT = re.sub(r"@font-face \{\{.*?\}\}", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL).replace(
    "font-family: Fira Code, monospace", f"font-family: {_FONTS}"
)


def draw_svg(app: App[None], *, title: str, is_light: bool) -> str:
    """The screen and the dialogs over it; the same screen gives the same bytes.

    Args:
        is_light: draw the terminal's own background as white; else as dark grey.
    """
    width, height = app.size
    console = Console(
        width=width,
        height=height,
        file=io.StringIO(),
        force_terminal=True,
        color_system="truecolor",
        record=True,
        legacy_windows=False,
    )
    behind = app._background_screens
    console.print(app.screen._compositor.render_update(full=True, screen_stack=behind, simplify=True))
    theme = DEFAULT_TERMINAL_THEME if is_light else SVG_EXPORT_THEME
    return console.export_svg(title=title, theme=theme, code_format=_FORMAT, unique_id="bertd")
