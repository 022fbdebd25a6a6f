"""Lines pad, cut and escape their text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from tui.drawing.lines import Line, Role, Span, cell, heading, join_lines, justify, line

_TEXTS = st.text(max_size=30)


@given(texts=st.lists(_TEXTS, max_size=4), width=st.integers(1, 60))
def test_a_fitted_line_has_exactly_the_width_asked_for(texts: list[str], width: int) -> None:
    fitted = Line(tuple(Span(text) for text in texts)).fit(width)
    assert fitted.width == width


@given(text=_TEXTS, width=st.integers(1, 30), right=st.booleans())
def test_a_cell_has_exactly_its_width(text: str, width: int, right: bool) -> None:
    assert cell_len(cell(text, width, right=right).text) == width


@given(text=st.text(max_size=50))
def test_no_text_keeps_a_control_character(text: str) -> None:
    shown = Span(text).text
    assert not any(ord(sign) < 0x20 or 0x7F <= ord(sign) < 0xA0 for sign in shown)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b]52;c;aGk=\x07", "\\x1b]52;c;aGk=\\x07"),
        ("\x9b31m", "\\x9b31m"),
        ("safe\u202egnihton", "safe\\u202egnihton"),
        ("two\nlines\tand a tab", "two lines and a tab"),
    ],
)
def test_a_hostile_text_is_shown_as_escapes(text: str, shown: str) -> None:
    assert Span(text).text == shown


def test_a_cut_line_ends_in_an_ellipsis_and_keeps_its_roles() -> None:
    cut = line(("train", Role.MUTED), ("ing loss", Role.STRONG)).fit(8)
    assert cut.plain == "trainin…"
    assert [span.role for span in cut.spans] == [Role.MUTED, Role.STRONG]


def test_the_right_end_gives_way_where_both_do_not_fit() -> None:
    assert justify(line("left"), line("right"), width=12).plain == "left   right"
    assert justify(line("left"), line("right"), width=8).plain == "left    "


def test_a_heading_is_a_name_a_rule_and_figures() -> None:
    assert heading("Loss", line("2.1"), width=16, rule="-").plain == "Loss ------- 2.1"


def test_only_parts_that_hold_something_are_separated() -> None:
    assert join_lines([line("a"), Line(), line("b")], separator=" | ").plain == "a | b"
