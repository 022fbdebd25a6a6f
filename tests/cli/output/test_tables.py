"""bertd.cli.output.tables."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertd.cli.output.tables import RED, Cell, OutputStyle, detect_output_style, format_table

PLAIN = OutputStyle(width=None, has_color=False, has_unicode=True)


def test_columns_are_aligned_and_numbers_stand_at_the_right() -> None:
    text = format_table(["NAME", "STEP", "WHY"], [["a", "1", "x"], ["longer", "1,234", ""]], right={1}, style=PLAIN)
    assert text.splitlines() == ["NAME     STEP  WHY", "a           1  x", "longer  1,234"]


def test_the_last_column_is_cut_at_the_edge_of_a_terminal_and_nowhere_else() -> None:
    rows = [["a", "because of this and that"]]
    narrow = OutputStyle(width=20, has_color=False, has_unicode=True)
    assert format_table(["N", "WHY"], rows, right=set(), style=narrow).splitlines()[1] == "a  because of thi..."
    assert format_table(["N", "WHY"], rows, right=set(), style=PLAIN).splitlines()[1] == "a  because of this and that"


def test_colour_changes_no_width() -> None:
    coloured = OutputStyle(width=None, has_color=True, has_unicode=True)
    line = format_table(["A", "B"], [[Cell("x", (RED,)), "y"]], right=set(), style=coloured).splitlines()[1]
    assert line == "\x1b[31mx\x1b[0m  y"


@pytest.mark.parametrize(("share", "bar"), [(0.0, "░░░░"), (0.5, "██░░"), (1.0, "████"), (7.0, "████"), (-1, "░░░░")])
def test_a_bar_is_as_full_as_its_share(share: float, bar: str) -> None:
    assert PLAIN.bar(share, cells=4) == bar
    ascii_only = OutputStyle(width=None, has_color=False, has_unicode=False)
    assert ascii_only.bar(share, cells=4) == bar.replace("█", "#").replace("░", ".")


@given(st.lists(st.lists(st.text(max_size=20), min_size=3, max_size=3), max_size=5), st.integers(10, 80))
def test_any_text_stays_one_line_a_row(rows: list[list[str]], width: int) -> None:
    style = OutputStyle(width=width, has_color=False, has_unicode=True)
    assert format_table(["A", "B", "C"], rows, right={0}, style=style).count("\n") == len(rows)


def test_output_into_a_file_has_no_colour_and_no_edge(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    style = detect_output_style()
    assert (style.has_color, style.width) == (False, None)


@pytest.mark.parametrize(
    ("variables", "has_color"),
    [({"TERM": "xterm"}, True), ({"TERM": "dumb"}, False), ({"TERM": "xterm", "NO_COLOR": "1"}, False), ({}, False)],
)
def test_a_terminal_has_colour_unless_it_is_dumb_or_no_color_is_set(
    variables: dict[str, str], has_color: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("TERM", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert detect_output_style().has_color is has_color


def test_a_narrow_terminal_gets_narrower_names_then_fewer_columns() -> None:
    header, rows = ["NAME", "AGE", "STEP", "WHY"], [["n" * 30, "10m", "1,234", "because of this and that"]]

    def lines(width: int) -> list[str]:
        style = OutputStyle(width=width, has_color=False, has_unicode=True)
        return format_table(header, rows, right={1, 2}, style=style, shrink={0: 10}, drop=(1,)).splitlines()

    assert lines(70)[1].startswith("n" * 30)
    assert lines(60)[1] == f"{'n' * 19}...  10m  1,234  because of this and that"
    assert lines(47)[0].split() == ["NAME", "STEP", "WHY"]
    assert lines(47)[1].endswith("that") and len(lines(47)[1]) == 47
    assert lines(40)[1] == "nnnnnnn...  1,234  because of this an..."
