"""Exactly the changed cells are repainted."""

from __future__ import annotations

from typing import ClassVar

from hypothesis import given
from hypothesis import strategies as st
from textual.app import App, ComposeResult
from textual.geometry import Region
from textual.screen import Screen

from tests.tui.screen_text import screen_lines
from tui.drawing.lines import Line, Role, line
from tui.widgets.canvas import ROLE_CLASSES, Canvas, changed_spans

_CELLS = st.lists(st.tuples(st.sampled_from("ab "), st.sampled_from([Role.TEXT, Role.BAD])), min_size=1, max_size=40)


@given(old=_CELLS, changes=st.dictionaries(st.integers(0, 39), st.sampled_from("xyz"), max_size=6))
def test_painting_the_changed_spans_over_the_old_line_gives_the_new_one(
    old: list[tuple[str, Role]], changes: dict[int, str]
) -> None:
    new = [(changes.get(at, sign), role) for at, (sign, role) in enumerate(old)]
    painted = list(old)
    for start, end in changed_spans(tuple(old), tuple(new)):
        painted[start:end] = new[start:end]
    assert painted == new


def test_a_change_of_one_figure_is_one_short_span() -> None:
    old = tuple((sign, Role.TEXT) for sign in "loss 2.31 and much that stays as it was")
    new = tuple((sign, Role.TEXT) for sign in "loss 2.37 and much that stays as it was")
    assert changed_spans(old, new) == [(8, 9)]


def test_a_change_of_role_is_a_change() -> None:
    assert changed_spans((("a", Role.TEXT),), (("a", Role.BAD),)) == [(0, 1)]


def test_a_wide_character_is_repainted_whole() -> None:
    old = (("a", Role.TEXT), ("b", Role.TEXT), ("c", Role.TEXT))
    new = (("漢", Role.TEXT), ("", Role.TEXT), ("c", Role.TEXT))
    assert changed_spans(old, new) == [(0, 2)]
    assert changed_spans(new, (("漢", Role.TEXT), ("", Role.TEXT), ("d", Role.TEXT))) == [(2, 3)]


class _RoleScreen(Screen[None]):
    COMPONENT_CLASSES: ClassVar[set[str]] = {*ROLE_CLASSES}


class _Page(App[None]):
    def __init__(self) -> None:
        super().__init__()
        self.canvas = _Watched()

    def get_default_screen(self) -> _RoleScreen:
        return _RoleScreen()

    def compose(self) -> ComposeResult:
        yield self.canvas


class _Watched(Canvas):
    """Records which regions it repaints."""

    DEFAULT_CSS = "_Watched { width: 100%; height: 3; }"

    def __init__(self) -> None:
        super().__init__()
        self.repainted: list[Region] = []

    def refresh(self, *regions: Region, **options: bool) -> _Watched:
        self.repainted += regions
        return super().refresh(*regions, **options)


async def test_showing_new_lines_repaints_the_changed_cells_alone() -> None:
    page = _Page()
    async with page.run_test(size=(30, 3)) as pilot:
        page.canvas.show([line("step 1,204"), line("steady")])
        await pilot.pause()
        page.canvas.repainted.clear()
        page.canvas.show([line("step 1,205"), line("steady")])
        await pilot.pause()
        assert page.canvas.repainted == [Region(9, 0, 1, 1)]
        assert screen_lines(page)[:2] == ["step 1,205", "steady"]


async def test_showing_the_same_lines_repaints_nothing() -> None:
    page = _Page()
    async with page.run_test(size=(30, 3)) as pilot:
        page.canvas.show([line("a"), Line()])
        await pilot.pause()
        page.canvas.repainted.clear()
        page.canvas.show([line("a")])
        assert page.canvas.repainted == []


async def test_stale_lines_are_all_of_one_colour() -> None:
    page = _Page()
    async with page.run_test(size=(30, 3)) as pilot:
        page.canvas.show([line(("bad", Role.BAD), ("good", Role.GOOD))], is_stale=True)
        await pilot.pause()
        strip = page.canvas.render_line(0)
        assert len({segment.style for segment in strip if segment.text.strip()}) == 1
