"""Make text from outside safe for a terminal.

A run's name, a log line or a path may contain escape sequences that move the cursor, rewrite the title or paste
commands, and marks that reverse the reading direction. They are shown as escapes, so that nothing is hidden.
"""

from __future__ import annotations

import re

_UNSAFE = re.compile(
    "["
    "\x00-\x08\x0b-\x1f"  # C0 without tab and newline
    "\x7f-\x9f"  # DEL and C1
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # bidirectional marks, embeddings, overrides, isolates
    "\u2028\u2029"  # line and paragraph separators
    "\ud800-\udfff"  # lone surrogates, which no terminal encoding takes
    "]"
)
_UNSAFE_IN_OUTPUT = re.compile(f"(?P<sequence>\x1b\\[[0-9;]*m)|{_UNSAFE.pattern}")
_UNSAFE_IN_DRAWING = re.compile(f"(?P<sequence>\x1b\\[[0-9;?]*[ABCDGHJKmhl]|\r)|{_UNSAFE.pattern}")


MAX_MESSAGE = 2_000
"""Characters of an error that quotes a name, a path or a list from outside."""
_TAIL = 500


def terminal_text(text: str) -> str:
    """Escape each unsafe character, as `\\x1b` or `\\u202e`; newline and tab stay."""
    return _UNSAFE.sub(_escape, text)


def terminal_line(text: str) -> str:
    """Escape the text and put it on one line: newlines and tabs become spaces, with none at either end."""
    return terminal_text(" ".join(text.split("\n")).replace("\t", " ")).strip(" ")


def shorten(text: str) -> str:
    """The text with its middle left out if it is too long to be read as a message; its end has the remedy."""
    if len(text) <= MAX_MESSAGE:
        return text
    head, tail = text[: MAX_MESSAGE - _TAIL], text[-_TAIL:]
    return f"{head} [{len(text) - MAX_MESSAGE:,} characters left out] {tail}"


def terminal_json(text: str) -> str:
    """The same JSON with each unsafe character in its strings as JSON's own escape; letters of any script stay."""
    return _UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def terminal_output(text: str, *, is_drawing: bool = False) -> str:
    """Escape what a program's output may not contain: all unsafe characters except in sequences that set a colour.

    Args:
        text: with colours, as one write of a program.
        is_drawing: the program draws, so sequences that move the cursor and erase lines pass too.
    """
    return (_UNSAFE_IN_DRAWING if is_drawing else _UNSAFE_IN_OUTPUT).sub(_escape_unless_sequence, text)


def _escape_unless_sequence(match: re.Match[str]) -> str:
    return match[0] if match["sequence"] else _escape(match)


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
