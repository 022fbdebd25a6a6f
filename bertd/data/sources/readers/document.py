"""The interface of all readers: they yield the text of a document, or why there is none.

A reader works in two halves. `blocks` runs in the reading process: it cuts a stream into pieces that hold whole
documents, without looking inside, at the speed of the disk. `documents` runs in the worker that was sent the block,
where parsing costs nothing extra.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import BinaryIO, Protocol

from bertd.data.sources.readers.left_out import MAX_DOCUMENT_BYTES as MAX_DOCUMENT_BYTES
from bertd.data.sources.readers.left_out import MAX_SAMPLE_CHARACTERS, LeftOut
from bertd.data.sources.readers.left_out import SkipReason as SkipReason


@dataclass(frozen=True)
class Skipped:
    """A document that is left out as a whole."""

    reason: SkipReason
    read: int
    """Characters of its text as the format gives it; where none can be made out, of all that stands for it."""
    sample: str = ""
    """Its beginning, or all of it."""

    @classmethod
    def with_text(cls, reason: SkipReason, text: str) -> Skipped:
        return cls(reason, read=len(text), sample=text)

    @classmethod
    def with_bytes(cls, reason: SkipReason, content: bytes) -> Skipped:
        """For bytes that are not parsed; what is not UTF-8 counts one character for each part that cannot be read."""
        return cls.with_text(reason, content.decode("utf-8", "replace"))


@dataclass(frozen=True)
class Document:
    """A document's text, and what was cut from it."""

    text: str
    """Empty if nothing is left."""
    read: int
    """Characters of the document as the format gives it; equal to the length of the text and `left_out.total`."""
    left_out: LeftOut

    @classmethod
    def account(cls, text: str, *, read: int, left_out: LeftOut, rest: SkipReason = SkipReason.SPACING) -> Document:
        """A document whose remaining difference between what was read and what is kept has one reason.

        Args:
            left_out: pieces that were cut, recorded by the reader; the document owns it from here.
            rest: why the characters that no piece stands for are gone.
        """
        difference = read - len(text) - left_out.total
        assert difference >= 0, (difference, text[:100])
        if difference:
            left_out.characters[rest] += difference
        return cls(text, read=read, left_out=left_out)


ReadResult = Document | Skipped
"""A document, or why there is none."""


@dataclass(frozen=True)
class Block:
    """A piece of one file that begins and ends between documents."""

    content: bytes
    too_long: int = 0
    """Documents that were longer than MAX_DOCUMENT_BYTES and are not in the content."""
    too_long_characters: int = 0
    """Characters of those documents."""
    too_long_sample: str = ""
    """The beginning of the last of them."""


class Reader(Protocol):
    """One corpus format."""

    def blocks(self, stream: BinaryIO, *, block_bytes: int) -> Iterator[Block]:
        """Cut a file into blocks of about `block_bytes`."""

    def documents(self, content: bytes) -> Iterator[ReadResult]:
        """The documents of a block, in order."""


# Everything that Unicode or ASCII calls a break of lines, pages or records; a form feed may be inside a line.
_BREAKS = "\r\x0b\x0c\x1c\x1d\x1e\x1f\x85\u2028\u2029"
_DELETED = "\x00\ufeff"
_UNDECODED = re.compile("[\udc80-\udcff]")


def clean(text: str) -> str:
    """One kind of line break, no byte order marks, no NUL, no space around."""
    # One pass each: 20 times faster than one regular expression for all.
    while "\r\r\n" in text:
        # One break that was converted to DOS's form twice.
        text = text.replace("\r\r\n", "\r\n")
    text = text.replace("\r\n", "\n")
    for character in _BREAKS:
        text = text.replace(character, "\n")
    for character in _DELETED:
        text = text.replace(character, "")
    return text.strip()


def decode(content: bytes) -> str | Skipped:
    """Text out of UTF-8 bytes, as readers get them from a file in any encoding; not cleaned."""
    try:
        return content.decode()
    except UnicodeDecodeError:
        return Skipped.with_bytes(SkipReason.INVALID_UTF8, content)


def decode_leniently(content: bytes) -> str:
    """Text out of bytes of which some may not be UTF-8; each of those is half a surrogate pair."""
    return content.decode("utf-8", "surrogateescape")


def skip_undecoded(text: str, *, surplus: int = 0) -> Skipped | None:
    """Why a text out of `decode_leniently` is left out; None if all of it was UTF-8.

    Args:
        surplus: characters that were read with it and are already removed.
    """
    if text.isascii() or not _UNDECODED.search(text):
        return None
    skipped = Skipped.with_bytes(SkipReason.INVALID_UTF8, text.encode("utf-8", "surrogateescape"))
    return replace(skipped, read=skipped.read + surplus)


def cleaned_document(raw: str) -> Document:
    """A document of which nothing is cut but what `clean` removes."""
    return Document.account(clean(raw), read=len(raw), left_out=LeftOut())


@dataclass
class TooLong:
    """Documents that were longer than MAX_DOCUMENT_BYTES, since the last block."""

    documents: int = 0
    characters: int = 0
    sample: str = ""

    def begin(self, content: bytes) -> None:
        self.documents += 1
        self.sample = content[: 4 * MAX_SAMPLE_CHARACTERS].decode("utf-8", "replace")
        self.add(content)

    def add(self, content: bytes) -> None:
        self.characters += len(content.translate(None, _UTF8_CONTINUATIONS))

    def take_block(self, content: bytes) -> Block:
        """A block with what was skipped before it, which is then forgotten."""
        block = Block(
            content, too_long=self.documents, too_long_characters=self.characters, too_long_sample=self.sample
        )
        self.documents, self.characters, self.sample = 0, 0, ""
        return block


_UTF8_CONTINUATIONS = bytes(range(0x80, 0xC0))


class Readable(Protocol):
    """What blocks are cut from."""

    def read(self, num_bytes: int, /) -> bytes:
        """Up to about so many bytes; empty at the end."""


def cut_blocks(
    stream: Readable,
    *,
    ends: tuple[bytes, ...],
    block_bytes: int,
    move_cut: Callable[[bytes, int], int] = lambda _, cut: cut,
) -> Iterator[Block]:
    """Cut a stream after the last document end of each piece read.

    Args:
        ends: what closes a document; a piece is cut after the last of them.
        move_cut: moves a cut to another document end before it, or to 0 if there must be none yet.
    """
    rest = b""
    too_long = TooLong()
    while piece := stream.read(block_bytes):
        content = rest + piece
        cut = max(content.rfind(end) + len(end) if end in content else 0 for end in ends)
        if cut := move_cut(content, cut):
            yield too_long.take_block(content[:cut])
            rest = content[cut:]
        elif len(content) <= MAX_DOCUMENT_BYTES:
            rest = content
        else:
            too_long.begin(content)
            rest = _skip_document(stream, too_long, tail=piece, ends=ends, piece_bytes=block_bytes)
    if rest or too_long.documents:
        yield too_long.take_block(rest)


def _skip_document(
    stream: Readable, too_long: TooLong, *, tail: bytes, ends: tuple[bytes, ...], piece_bytes: int
) -> bytes:
    """Read past the end of a document that is too long; returns what follows it in the last piece."""
    overlap = max(map(len, ends)) - 1
    while piece := stream.read(piece_bytes):
        kept_tail = tail[-overlap:] if overlap else b""
        content = kept_tail + piece
        found = [content.find(end) + len(end) for end in ends if end in content]
        if found:
            too_long.add(content[len(kept_tail) : min(found)])
            return content[min(found) :]
        too_long.add(piece)
        tail = content
    return b""


def cut_before(stream: Readable, *, begin: re.Pattern[bytes], block_bytes: int) -> Iterator[Block]:
    """Cut a stream before the last beginning of a document of each piece read; one that is too long is cut anywhere.

    Args:
        begin: what a document begins with, such as its heading.
    """
    rest = b""
    while piece := stream.read(block_bytes):
        rest += piece
        begins = [match.start() for match in begin.finditer(rest)]
        cut = begins[-1] if begins else 0
        if not cut and len(rest) > MAX_DOCUMENT_BYTES:
            cut = find_cut(rest)
        if rest[:cut].strip():
            yield Block(rest[:cut])
            rest = rest[cut:]
    if rest:
        yield Block(rest)


def find_cut(content: bytes) -> int:
    """Where to cut: after the last blank line, else line, else space, else before the last character."""
    for end in (b"\n\n", b"\n\r\n", b"\n", b" "):
        if end in content:
            return content.rfind(end) + len(end)
    cut = len(content)
    while content[cut - 1] & 0xC0 == 0x80:
        cut -= 1
    return cut - 1
