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


def terminal_text(text: str) -> str:
    """Escape each unsafe character, as `\\x1b` or `\\u202e`; newline and tab stay."""
    return _UNSAFE.sub(_escape, text)


def terminal_line(text: str) -> str:
    """Escape the text and put it on one line: newlines and tabs become spaces, with none at either end."""
    return terminal_text(" ".join(text.split("\n")).replace("\t", " ")).strip(" ")


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
