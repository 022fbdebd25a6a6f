"""Plain text: a document a file, or documents between blank lines.

Books are often hard-wrapped: lines of some 70 characters, paragraphs between blank lines or at an indent. The lines of
such a file are rejoined, so that a line break is the end of a paragraph, as in all other formats. Project Gutenberg's
header and licence are left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median
from typing import BinaryIO

from bertd.data.sources.readers.document import (
    MAX_DOCUMENT_BYTES,
    Block,
    Document,
    ReadResult,
    Skipped,
    SkipReason,
    clean,
    cut_blocks,
    decode,
    decode_leniently,
    find_cut,
    skip_undecoded,
)
from bertd.data.sources.readers.gutenberg import cut_outside_licences, split_books
from bertd.data.sources.readers.left_out import LeftOut
from bertd.data.sources.readers.prose import display_width, ends_sentence, join_lines

_BLANK_LINES = re.compile(r"\n[ \t]*\n\s*")
_OUTER_BLANK_LINES = re.compile(r"\A(?:[ \t\r]*\n)+|(?:\n[ \t\r]*)+\Z")
_BLANK_LINE = re.compile(rb"\n[ \t\r]+(?=\n)")
_OPEN_LINE = re.compile(rb"\n[ \t\r]*\Z")
_MAX_HELD_BYTES = 1 << 12
_WRAP_MIN, _WRAP_MAX = 45, 100
"""Median line width of a hard-wrapped text; a paragraph on one line is longer, a verse shorter."""
_WRAPPED_SHARE = 0.95
"""Least share of lines up to _WRAP_MAX columns in a hard-wrapped text."""

_MAX_ENDED_SHARE = 0.7
"""Largest share of lines that end a sentence in a hard-wrapped text."""


@dataclass(frozen=True)
class TextFiles:
    """A file is a document, or each book of it; one longer than MAX_DOCUMENT_BYTES is cut at blank lines or spaces."""

    def blocks(self, stream: BinaryIO, *, block_bytes: int) -> Iterator[Block]:
        """The whole file, unless it is longer than MAX_DOCUMENT_BYTES."""
        rest = b""
        while piece := stream.read(MAX_DOCUMENT_BYTES - len(rest)):
            rest += piece
            if len(rest) >= MAX_DOCUMENT_BYTES:
                cut = find_cut(rest)
                cut = cut_outside_licences(rest, cut) or cut
                yield Block(rest[:cut])
                rest = rest[cut:]
        yield Block(rest)

    def documents(self, content: bytes) -> Iterator[ReadResult]:
        """One document, or one for each of Project Gutenberg's books."""
        text = decode(content)
        if isinstance(text, Skipped):
            yield text
            return
        cleaned = clean(text)
        # What `clean` removes is counted with the first book.
        surplus = len(text) - len(cleaned)
        for book in split_books(cleaned):
            left_out = LeftOut()
            left_out.add(SkipReason.HEADER, book.before)
            left_out.add(SkipReason.HEADER, book.after)
            read = surplus + len(book.before) + len(book.text) + len(book.after)
            yield Document.account(unwrap(book.text.strip()), read=read, left_out=left_out)
            surplus = 0


@dataclass(frozen=True)
class TextBlocks:
    """Documents separated by blank lines."""

    def blocks(self, stream: BinaryIO, *, block_bytes: int) -> Iterator[Block]:
        """Cut at blank lines."""
        return cut_blocks(
            _EmptiedBlankLines(stream), ends=(b"\n\n",), block_bytes=block_bytes, move_cut=cut_outside_licences
        )

    def documents(self, content: bytes) -> Iterator[ReadResult]:
        """One document for each run of lines without a blank one."""
        text = _OUTER_BLANK_LINES.sub("", decode_leniently(content))
        cleaned = clean(text)
        surplus = len(text) - len(cleaned)
        for book in split_books(cleaned):
            for before in _split_at_blank_lines(book.before):
                yield Skipped(SkipReason.HEADER, read=surplus + len(before), sample=before)
                surplus = 0
            for document in _split_at_blank_lines(book.text):
                yield skip_undecoded(document, surplus=surplus) or Document.account(
                    unwrap(document), read=surplus + len(document), left_out=LeftOut()
                )
                surplus = 0
            for after in _split_at_blank_lines(book.after):
                yield Skipped(SkipReason.HEADER, read=surplus + len(after), sample=after)
                surplus = 0


def _split_at_blank_lines(text: str) -> list[str]:
    """The parts of a text; the blank lines between two of them belong to neither."""
    return [part for part in _BLANK_LINES.split(text) if part.strip()]


class _EmptiedBlankLines:
    """A stream without the spaces and carriage returns that are alone on a line, which belong to no document."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._held = b""
        """The beginning of what may be a blank line."""

    def read(self, num_bytes: int, /) -> bytes:
        """Up to about so many bytes; empty at the end."""
        while piece := self._stream.read(num_bytes):
            content = _BLANK_LINE.sub(b"\n", self._held + piece)
            begin = _OPEN_LINE.search(content[-_MAX_HELD_BYTES:])
            held = len(begin[0]) if begin else 0
            self._held = content[len(content) - held :]
            if ready := content[: len(content) - held]:
                return ready
        rest, self._held = self._held, b""
        return rest


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
    """Whether nearly all lines that another line follows directly fit into a column's width, and most end anywhere."""
    followed = [line.rstrip() for line, after in zip(lines, lines[1:], strict=False) if line.strip() and after.strip()]
    widths = [display_width(line) for line in followed]
    if len(widths) < 2 or not _WRAP_MIN <= median(widths) <= _WRAP_MAX:
        return False
    if sum(width <= _WRAP_MAX for width in widths) < _WRAPPED_SHARE * len(widths):
        return False
    # A wrapped line ends in the middle of a sentence; lines that are paragraphs or documents do not.
    return sum(map(ends_sentence, followed)) < _MAX_ENDED_SHARE * len(followed)


def _join_lines(lines: list[str]) -> str:
    """Join lines to a paragraph; a word split at a hyphen is joined without a space and keeps the hyphen."""
    joined: list[str] = [lines[0]]
    for line in lines[1:]:
        before = joined[-1]
        if len(before) > 1 and before[-1] == "-" and before[-2].isalpha() and line[0].islower():
            joined[-1] += line
        else:
            joined.append(line)
    return join_lines(joined)
