"""Plain text: a document a file, or documents between blank lines.

Books are often hard-wrapped: lines of some 70 characters, paragraphs between blank lines or at an indent. The lines of
such a file are rejoined, so that a line break is the end of a paragraph, as in all other formats. Project Gutenberg's
header and footer are left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median
from typing import BinaryIO

from bertd.data.sources.readers.document import MAX_DOCUMENT_BYTES, Block, ReadResult, cut_blocks, decode

_BLANK_LINES = re.compile(r"\n[ \t]*\n\s*")
_GUTENBERG_START = re.compile(r"^\*\*\* ?START OF (?:THE|THIS) PROJECT GUTENBERG.*$", re.MULTILINE | re.IGNORECASE)
_GUTENBERG_END = re.compile(
    r"^(?:\*\*\* ?END OF (?:THE|THIS) PROJECT GUTENBERG.*|End of (?:the )?Project Gutenberg.*)$",
    re.MULTILINE | re.IGNORECASE,
)

_WRAP_MIN, _WRAP_MAX = 45, 100
"""Median line length of a hard-wrapped text; a paragraph on one line is longer, a verse shorter."""
_WRAPPED_SHARE = 0.95
"""Least share of lines up to _WRAP_MAX characters in a hard-wrapped text."""


@dataclass(frozen=True)
class TextFiles:
    """A file is a document; one longer than MAX_DOCUMENT_BYTES is cut at blank lines, lines or spaces."""

    def blocks(self, stream: BinaryIO, *, block_bytes: int) -> Iterator[Block]:
        """The whole file, unless it is longer than MAX_DOCUMENT_BYTES."""
        rest = b""
        while piece := stream.read(MAX_DOCUMENT_BYTES - len(rest)):
            rest += piece
            if len(rest) >= MAX_DOCUMENT_BYTES:
                cut = _find_cut(rest)
                yield Block(rest[:cut])
                rest = rest[cut:]
        yield Block(rest)

    def documents(self, content: bytes) -> Iterator[ReadResult]:
        """One document."""
        text = decode(content)
        yield unwrap(strip_gutenberg(text)) if isinstance(text, str) else text


@dataclass(frozen=True)
class TextBlocks:
    """Documents separated by blank lines."""

    def blocks(self, stream: BinaryIO, *, block_bytes: int) -> Iterator[Block]:
        """Cut at blank lines."""
        return cut_blocks(stream, ends=(b"\n\n", b"\n\r\n"), block_bytes=block_bytes)

    def documents(self, content: bytes) -> Iterator[ReadResult]:
        """One document for each run of lines without a blank one."""
        text = decode(content)
        if not isinstance(text, str):
            yield text
            return
        for document in _BLANK_LINES.split(text):
            if document.strip():
                yield unwrap(document)


def _find_cut(content: bytes) -> int:
    """Where to cut: after the last blank line, else line, else space, else before the last character."""
    for end in (b"\n\n", b"\n\r\n", b"\n", b" "):
        if end in content:
            return content.rfind(end) + len(end)
    cut = len(content)
    while content[cut - 1] & 0xC0 == 0x80:
        cut -= 1
    return cut - 1


def strip_gutenberg(text: str) -> str:
    """The text between Project Gutenberg's marks, if it has them."""
    if start := _GUTENBERG_START.search(text):
        text = text[start.end() :]
    if end := _GUTENBERG_END.search(text):
        text = text[: end.start()]
    return text.strip()


def unwrap(text: str) -> str:
    """Rejoin hard-wrapped lines; other text comes back with blank lines removed.

    A paragraph ends at a blank line, or where the next line is indented and this one was not.
    """
    lines = text.split("\n")
    if not _is_wrapped(lines):
        return "\n".join(stripped for line in lines if (stripped := line.strip()))
    paragraphs: list[list[str]] = []
    in_paragraph = False
    for line in lines:
        stripped = line.strip()
        if not stripped:
            in_paragraph = False
        elif in_paragraph and not line[0].isspace():
            paragraphs[-1].append(stripped)
        else:
            paragraphs.append([stripped])
            in_paragraph = True
    return "\n".join(_join_lines(paragraph) for paragraph in paragraphs)


def _is_wrapped(lines: list[str]) -> bool:
    """Whether nearly all lines that another line follows directly fit into a column's width."""
    lengths = [
        len(line.rstrip()) for line, after in zip(lines, lines[1:], strict=False) if line.strip() and after.strip()
    ]
    if len(lengths) < 2 or not _WRAP_MIN <= median(lengths) <= _WRAP_MAX:
        return False
    return sum(length <= _WRAP_MAX for length in lengths) >= _WRAPPED_SHARE * len(lengths)


def _join_lines(lines: list[str]) -> str:
    """Join lines to a paragraph; a word split at a hyphen is joined without a space and keeps the hyphen."""
    joined = lines[0]
    for line in lines[1:]:
        is_hyphenated = len(joined) > 1 and joined[-1] == "-" and joined[-2].isalpha() and line[0].islower()
        joined += line if is_hyphenated else f" {line}"
    return joined
