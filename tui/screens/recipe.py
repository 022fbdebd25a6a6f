"""View of a run's recipe: every key with its value, its default and what it means."""

from __future__ import annotations

from functools import partial

from textual import on
from textual.app import ComposeResult

from bertd.api.models import RecipeView
from tui.display_options import DisplayOptions
from tui.drawing.lines import Line
from tui.panels import recipe_rows
from tui.recipe_keys import RecipeKey, recipe_keys
from tui.screens.polling import PollingScreen, Request
from tui.snapshot import Feed, Snapshot
from tui.widgets.cursor_list import CursorList
from tui.widgets.panel import Panel
from tui.widgets.search_bar import SearchBar


class RecipeScreen(PollingScreen):
    """Asks for the recipe of the shown run again only when another run is shown or its budget was changed."""

    def __init__(self, feed: Feed) -> None:
        super().__init__(feed)
        self._shown: tuple[str, object, object] | None = None
        """The run whose recipe is shown, and its changes."""
        self._asked: tuple[str, object, object] | None = None
        self._keys: tuple[RecipeKey, ...] = ()
        self._wanted = ""
        self._list = CursorList[str](self._draw, self._key_names, id="recipe-keys")
        self._details = Panel(self._draw_key, id="recipe-key")
        self.search_bar: SearchBar = SearchBar(
            "show only the keys with this text in key, value or meaning; esc shows all"
        )

    def compose(self) -> ComposeResult:
        yield self._header
        yield self._list
        yield self.search_bar
        yield self._details
        yield self._footer

    def on_mount(self) -> None:
        """Focus the list, so that the arrow keys move the cursor at once."""
        self._list.focus()

    def update(self, snapshot: Snapshot, options: DisplayOptions) -> None:
        """Show a snapshot; ask at once for the recipe of a run that was not shown before."""
        super().update(snapshot, options)
        wanted = _identity(snapshot)
        if wanted is not None and wanted != self._asked and self.is_current:
            self._asked = wanted
            self.poll()

    @on(CursorList.Moved)
    def show_chosen(self) -> None:
        """Show the key under the cursor."""
        self._details.redraw()

    def search(self, text: str) -> None:
        """Show only the keys with this text."""
        self._wanted = text.casefold()
        self._list.refresh_rows()
        self._details.redraw()
        if self.search_bar is not None:
            self.search_bar.show_count(f"{len(self._found)} of {len(self._keys)}" if text else "")

    def next_request(self) -> Request | None:
        """The recipe, if it is not that of the shown run as it is now."""
        wanted = _identity(self._newest[0]) if self._newest is not None else None
        if wanted is None or wanted == self._shown:
            return None
        return partial(self._fetch, wanted)

    def _fetch(self, wanted: tuple[str, object, object]) -> tuple[tuple[str, object, object], RecipeView]:
        return wanted, self.feed.recipe(wanted[0])

    def receive(self, answer: object) -> bool:
        """Keep the recipe."""
        assert isinstance(answer, tuple)
        self._shown, view = answer
        assert self._shown is not None and isinstance(view, RecipeView)
        sections = zip(("budget", "devices"), self._shown[1:], strict=True)
        self._keys = recipe_keys(view.toml, changed=frozenset(name for name, change in sections if change is not None))
        return False

    @property
    def _found(self) -> list[RecipeKey]:
        return [
            key for key in self._keys if self._wanted in f"{key.key} {key.value} {key.source} {key.meaning}".casefold()
        ]

    def _key_names(self, snapshot: Snapshot) -> list[str]:
        return [key.key for key in self._found]

    def _draw(self, snapshot: Snapshot, options: DisplayOptions, width: int, height: int) -> list[Line]:
        run = snapshot.run
        is_read = run is not None and self._shown is not None and self._shown[0] == run.id
        note = self.problem or ("reading" if run is not None else "no run")
        if snapshot.status is None:
            note = "not known yet"
        return recipe_rows.draw(
            self._found if is_read else None,
            options,
            width,
            name=run.id if run is not None else "",
            note=note,
            num_all=len(self._keys),
        )

    def _draw_key(self, snapshot: Snapshot, options: DisplayOptions, width: int, height: int) -> list[Line]:
        chosen = next((key for key in self._found if key.key == self._list.chosen), None)
        return recipe_rows.draw_key(chosen, options, width)[:height]


def _identity(snapshot: Snapshot) -> tuple[str, object, object] | None:
    run = snapshot.run
    return (run.id, run.budget_change, run.devices_change) if run is not None else None
