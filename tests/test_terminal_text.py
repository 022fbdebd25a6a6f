"""bertd.terminal_text: no text from outside can control the terminal."""

from __future__ import annotations

import json
import re
import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from bertd.terminal_text import MAX_MESSAGE, shorten, terminal_json, terminal_line, terminal_output, terminal_text

ANY_TEXT = st.text(alphabet=st.characters(exclude_categories=()), max_size=60)


def test_an_escape_sequence_is_shown_and_not_obeyed() -> None:
    assert terminal_text("loss\x1b]0;pwned\x07 1.0\x1b[2J") == "loss\\x1b]0;pwned\\x07 1.0\\x1b[2J"


def test_c1_controls_and_delete_are_shown() -> None:
    assert terminal_text("a\x9bB\x7f") == "a\\x9bB\\x7f"


def test_marks_that_turn_the_reading_direction_are_shown() -> None:
    assert terminal_text("run\u202egnp.exe\u2066\u200f") == "run\\u202egnp.exe\\u2066\\u200f"


def test_unicode_line_separators_and_lone_surrogates_are_shown() -> None:
    assert terminal_text("a\u2028b\u2029c\udcff") == "a\\u2028b\\u2029c\\udcff"


def test_carriage_returns_cannot_overwrite_a_line() -> None:
    assert terminal_text("safe\rrm -rf") == "safe\\x0drm -rf"


def test_ordinary_text_of_any_script_stays_as_it_is() -> None:
    text = "Größe\t42\nмодель 模型 नमूना 👩\u200d💻"
    assert terminal_text(text) == text


def test_a_line_stays_one_line() -> None:
    assert terminal_line("first\nsecond\tthird\n") == "first second third"


@given(ANY_TEXT)
def test_no_control_character_is_left(text: str) -> None:
    for character in terminal_text(text):
        assert character in "\n\t" or unicodedata.category(character) not in ("Cc", "Zl", "Zp", "Cs")
        assert unicodedata.bidirectional(character) not in (
            "LRE",
            "RLE",
            "PDF",
            "LRO",
            "RLO",
            "LRI",
            "RLI",
            "FSI",
            "PDI",
        )
    terminal_text(text).encode("utf-8")


@given(ANY_TEXT)
def test_making_it_safe_twice_changes_nothing_more(text: str) -> None:
    assert terminal_text(terminal_text(text)) == terminal_text(text)
    assert "\n" not in terminal_line(text)


@given(ANY_TEXT)
def test_json_keeps_its_value_and_has_nothing_unsafe(text: str) -> None:
    for is_ascii in (True, False):
        safe = terminal_json(json.dumps({text: [text]}, ensure_ascii=is_ascii))
        assert json.loads(safe) == {text: [text]}
        assert safe == terminal_text(safe)


def test_json_keeps_the_letters_of_any_script() -> None:
    assert terminal_json('"Größe модель"') == '"Größe модель"'


def test_output_has_colours_and_no_other_command() -> None:
    assert terminal_output("\x1b[1;31mred\x1b[0m\n") == "\x1b[1;31mred\x1b[0m\n"
    hostile = "\x1b]52;c;QUFB\x07 \x1b[2J \x1b[1A \r \x9b31m \u202e \x7f"
    assert terminal_output(hostile) == terminal_text(hostile)


def test_a_drawing_may_move_the_cursor_and_no_more() -> None:
    assert terminal_output("\r\x1b[2K\x1b[1A\x1b[?25l", is_drawing=True) == "\r\x1b[2K\x1b[1A\x1b[?25l"
    hostile = "\x1b]52;c;QUFB\x07 \x9b2J \x1bPq"
    assert terminal_output(hostile, is_drawing=True) == terminal_text(hostile)


@given(ANY_TEXT)
def test_of_any_output_only_colours_are_unsafe(text: str) -> None:
    without_colours = re.sub("\x1b\\[[0-9;]*m", "", terminal_output(text))
    assert without_colours == terminal_text(without_colours)


def test_a_message_that_is_too_long_keeps_its_begin_and_its_remedy() -> None:
    assert shorten("x" * MAX_MESSAGE) == "x" * MAX_MESSAGE
    short = shorten("/place: " + "x" * 1_000_000 + "; remedy")
    assert short.startswith("/place: xxx") and short.endswith("xxx; remedy") and len(short) < MAX_MESSAGE + 50
    assert "[998,016 characters left out]" in short
