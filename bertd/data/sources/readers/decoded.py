"""Any reader of text, given its files as UTF-8, and without what is not text."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import BinaryIO

from bertd.data.sources.archives import strip_compression_suffix
from bertd.data.sources.encodings import (
    HEAD_BYTES,
    UTF_8,
    decode_head,
    detect_encoding,
    has_controls,
    is_damaged_utf8,
    open_utf8,
    suggest_encoding,
)
from bertd.data.sources.readers.document import Block, Document, Reader, ReadResult, Skipped, SkipReason, TooLong
from bertd.program import print_note

_NOT_TEXT = b"\x00not text\x00"
"""Opens the block that stands for a file which is not text; no block of text begins so."""
_BINARY_FORMATS = {
    b"PK\x03\x04": "is a zip archive, as .docx, .xlsx and .epub are",
    b"%PDF-": "is a PDF",
    b"{\\rtf": "is RTF",
    b"\xd0\xcf\x11\xe0": "is an old Office document",
}
"""Formats of documents by their first bytes; part of a PDF and all of RTF would pass for text."""
_TAGGED_FORMATS = {
    "a WARC or WET file, whose headers": re.compile(rb"WARC/\d"),
    "a mailbox, whose headers": re.compile(rb"From \S+ .*\d{4}\r?\n>?[A-Z][\w-]*[: ]"),
    "subtitles, whose times": re.compile(rb"(?:WEBVTT\b|\d+[ \t]*\r?\n\d\d:\d\d:\d\d[,.]\d{3} --> )"),
    "HTML, whose tags": re.compile(rb"(?i)<!DOCTYPE html|<html\b"),
}
"""Text by its bytes, but with more in it than the words that people wrote."""
_HTML_SUFFIXES = (".html", ".htm", ".xhtml")
_MAX_NOTES = 3
"""Files of a source that are named to the user; the counts have all."""


@dataclass(frozen=True)
class DecodedReader:
    """Decides the encoding of each file, and leaves out files and documents of control characters."""

    reader: Reader
    encoding: str | None = None
    """Of files that are not UTF-8."""
    _notes: list[str] = field(default_factory=list, compare=False)
    """What the user was told."""

    def blocks(self, stream: BinaryIO, *, block_bytes: int) -> Iterator[Block]:
        """The blocks of the file as UTF-8; one that stands for the file if it is not text."""
        name = str(getattr(stream, "name", "a file"))
        text, head = open_utf8(stream, named=self.encoding, name=name)
        if binary := next((what for magic, what in _BINARY_FORMATS.items() if head.startswith(magic)), None):
            self._note(f"{name}: {binary}, and is left out", lambda: "convert it to text first")
        elif text is None:
            what = f"{name}: is not text, or UTF-16 without its mark, and is left out"
            self._note(what, lambda: _encoding_remedy(head))
        if binary or text is None:
            yield _skip_file(stream, head)
            return
        if tagged := _describe_tagged(name, head):
            self._note(f"{name}: is {tagged} are read as text", lambda: "extract its text first")
        if self.encoding is None and not _is_utf8(head):
            self._note(f"{name}: is not UTF-8, and what cannot be read is left out", lambda: _encoding_remedy(head))
        yield from self.reader.blocks(text, block_bytes=block_bytes)

    def documents(self, content: bytes) -> Iterator[ReadResult]:
        """The reader's documents, each checked once more."""
        if content.startswith(_NOT_TEXT):
            characters, sample = content.removeprefix(_NOT_TEXT).split(b" ", 1)
            yield Skipped(SkipReason.NOT_TEXT, read=int(characters), sample=sample.decode("utf-8", "replace"))
            return
        for result in self.reader.documents(content):
            if isinstance(result, Document) and has_controls(result.text.encode("utf-8", "replace")):
                yield Skipped(SkipReason.NOT_TEXT, read=result.read, sample=result.text)
            else:
                yield result

    def _note(self, what: str, find_remedy: Callable[[], str]) -> None:
        """Tell the user, unless enough was said; only then is the remedy found, which takes some milliseconds."""
        if len(self._notes) < _MAX_NOTES:
            self._notes.append(f"{what}; {find_remedy()}")
            print_note(self._notes[-1])


def _describe_tagged(name: str, head: bytes) -> str | None:
    """What a file is that holds more than text; of HTML by its name, the user was told when it was found."""
    begin = head.removeprefix(codecs.BOM_UTF8).lstrip()
    found = next((what for what, opening in _TAGGED_FORMATS.items() if opening.match(begin)), None)
    is_named = PurePath(strip_compression_suffix(name)).suffix.lower() in _HTML_SUFFIXES
    return None if is_named else found


def _encoding_remedy(head: bytes) -> str:
    if is_damaged_utf8(head):
        return "it is UTF-8 with damaged characters: repair them, for example with iconv -c -f utf-8 -t utf-8"
    if suggested := suggest_encoding(head):
        return f"it looks like {suggested}: check, and give --encoding {suggested}"
    return "if it is text, name its encoding with --encoding"


def _is_utf8(head: bytes) -> bool:
    encoding = detect_encoding(head)
    return encoding.name != UTF_8 or "\udcff" not in decode_head(head, encoding)


def _skip_file(stream: BinaryIO, head: bytes) -> Block:
    """Read to the end of a file that is not text, to count it."""
    counted = TooLong()
    counted.begin(head)
    while piece := stream.read(HEAD_BYTES):
        counted.add(piece)
    return Block(_NOT_TEXT + b"%d " % counted.characters + counted.sample.encode("utf-8", "replace"))
