"""The interface of all readers: they yield the text of a document, or why there is none.

A reader works in two halves. `blocks` runs in the reading process: it cuts a stream into pieces that hold whole
documents, without looking inside, at the speed of the disk. `documents` runs in the worker that was sent the block,
where parsing costs nothing extra.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import BinaryIO, Protocol

MAX_DOCUMENT_BYTES = 1 << 25
"""A longer document is skipped, or cut where the format does not mark documents; bounds the memory."""


class SkipReason(Enum):
    """Why a document is left out; the value is shown to users."""

    EMPTY = "no text"
    REDIRECT = "redirect"
    OTHER_NAMESPACE = "not an article"
    DISAMBIGUATION = "disambiguation page"
    INVALID_UTF8 = "not valid UTF-8"
    NOT_JSON = "not a JSON object"
    NO_FIELD = "lacks the text field"
    UNCLOSED = "never closed"
    DAMAGED = "damaged markup"
    TOO_LONG = f"longer than {MAX_DOCUMENT_BYTES >> 20} MiB"
    SHORT = "shorter than the minimum"
    FEW_ASCII_LETTERS = "too few ASCII letters"
    DUPLICATE = "exact duplicate"
    NEAR_DUPLICATE = "near duplicate"
    OVER_LIMIT = "beyond --max-documents"


ReadResult = str | SkipReason
"""A document's text, or why it has none."""


@dataclass(frozen=True)
class Block:
    """A piece of one file that begins and ends between documents."""

    content: bytes
    too_long: int = 0
    """Documents that were longer than MAX_DOCUMENT_BYTES and are not in the content."""


class Reader(Protocol):
    """One corpus format."""

    def blocks(self, stream: BinaryIO, *, block_bytes: int) -> Iterator[Block]:
        """Cut a file into blocks of about `block_bytes`."""

    def documents(self, content: bytes) -> Iterator[ReadResult]:
        """The documents of a block, in order."""


# Everything that Unicode or ASCII calls a break of lines, pages or records; a form feed may be inside a line.
_BREAKS = "\r\x0b\x0c\x1c\x1d\x1e\x1f\x85\u2028\u2029"
_BREAK = re.compile(f"\r\n|[{_BREAKS}]")
_DELETED = "\x00\ufeff"


def clean(text: str) -> str:
    """One kind of line break, no byte order marks, no NUL, no space around."""
    # Searching for single characters first is 20 times faster than the regular expression alone.
    if any(character in text for character in _BREAKS):
        text = _BREAK.sub("\n", text)
    for character in _DELETED:
        text = text.replace(character, "")
    return text.strip()


def decode(content: bytes) -> ReadResult:
    """Clean text out of UTF-8 bytes, or of UTF-16 with a byte order mark."""
    try:
        if content.startswith((b"\xff\xfe", b"\xfe\xff")):
            return clean(content.decode("utf-16"))
        return clean(content.decode("utf-8"))
    except UnicodeDecodeError:
        return SkipReason.INVALID_UTF8


def cut_blocks(stream: BinaryIO, *, ends: tuple[bytes, ...], block_bytes: int) -> Iterator[Block]:
    """Cut a stream after the last document end of each piece read.

    Args:
        ends: what closes a document; a piece is cut after the last of them.
    """
    rest = b""
    too_long = 0
    while piece := stream.read(block_bytes):
        content = rest + piece
        cut = max(content.rfind(end) + len(end) if end in content else 0 for end in ends)
        if cut:
            yield Block(content[:cut], too_long=too_long)
            rest, too_long = content[cut:], 0
        elif len(content) <= MAX_DOCUMENT_BYTES:
            rest = content
        else:
            rest = _skip_document(stream, tail=piece, ends=ends, piece_bytes=block_bytes)
            too_long += 1
    if rest or too_long:
        yield Block(rest, too_long=too_long)


def _skip_document(stream: BinaryIO, *, tail: bytes, ends: tuple[bytes, ...], piece_bytes: int) -> bytes:
    """Read past the end of a document that is too long; returns what follows it in the last piece."""
    overlap = max(map(len, ends)) - 1
    while piece := stream.read(piece_bytes):
        content = tail[-overlap:] + piece if overlap else piece
        found = [content.find(end) + len(end) for end in ends if end in content]
        if found:
            return content[min(found) :]
        tail = content
    return b""
