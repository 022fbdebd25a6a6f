"""bertd.cli.tables."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertd.cli.tables import RED, Canvas, Cell, canvas_of_stdout, table

PLAIN = Canvas(width=None, has_colour=False, has_unicode=True)


def test_columns_are_aligned_and_numbers_stand_at_the_right() -> None:
    text = table(["NAME", "STEP", "WHY"], [["a", "1", "x"], ["longer", "1,234", ""]], right={1}, canvas=PLAIN)
    assert text.splitlines() == ["NAME     STEP  WHY", "a           1  x", "longer  1,234"]


def test_the_last_column_is_cut_at_the_edge_of_a_terminal_and_nowhere_else() -> None:
    rows = [["a", "because of this and that"]]
    narrow = Canvas(width=20, has_colour=False, has_unicode=True)
    assert table(["N", "WHY"], rows, right=set(), canvas=narrow).splitlines()[1] == "a  because of thi..."
    assert table(["N", "WHY"], rows, right=set(), canvas=PLAIN).splitlines()[1] == "a  because of this and that"


def test_colour_changes_no_width() -> None:
    coloured = Canvas(width=None, has_colour=True, has_unicode=True)
    line = table(["A", "B"], [[Cell("x", (RED,)), "y"]], right=set(), canvas=coloured).splitlines()[1]
    assert line == "\x1b[31mx\x1b[0m  y"


@pytest.mark.parametrize(("share", "bar"), [(0.0, "░░░░"), (0.5, "██░░"), (1.0, "████"), (7.0, "████"), (-1, "░░░░")])
def test_a_bar_is_as_full_as_its_share(share: float, bar: str) -> None:
    assert PLAIN.bar(share, cells=4) == bar
    ascii_only = Canvas(width=None, has_colour=False, has_unicode=False)
    assert ascii_only.bar(share, cells=4) == bar.replace("█", "#").replace("░", ".")


@given(st.lists(st.lists(st.text(max_size=20), min_size=3, max_size=3), max_size=5), st.integers(10, 80))
def test_any_text_stays_one_line_a_row(rows: list[list[str]], width: int) -> None:
    canvas = Canvas(width=width, has_colour=False, has_unicode=True)
    assert table(["A", "B", "C"], rows, right={0}, canvas=canvas).count("\n") == len(rows)


def test_output_into_a_file_has_no_colour_and_no_edge(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    canvas = canvas_of_stdout()
    assert (canvas.has_colour, canvas.width) == (False, None)


@pytest.mark.parametrize(
    ("variables", "has_colour"),
    [({"TERM": "xterm"}, True), ({"TERM": "dumb"}, False), ({"TERM": "xterm", "NO_COLOR": "1"}, False), ({}, False)],
)
def test_a_terminal_has_colour_unless_it_is_dumb_or_no_color_is_set(
    variables: dict[str, str], has_colour: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("TERM", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert canvas_of_stdout().has_colour is has_colour
