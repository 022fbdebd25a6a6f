"""Text from outside, made safe for a terminal.

A run's name, a log line or a path may hold escape sequences that move the cursor, rewrite the title or paste
commands, and marks that turn the reading direction round. They are shown as escapes, so that nothing hides.
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


def terminal_text(text: str) -> str:
    """The text with each dangerous character as `\\x1b` or `\\u202e`; newline and tab stay."""
    return _UNSAFE.sub(_escape, text)


def terminal_line(text: str) -> str:
    """The same on one line: newlines and tabs become spaces, and none lead or trail."""
    return terminal_text(" ".join(text.split("\n")).replace("\t", " ")).strip(" ")


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
