"""Text that Common Crawl extracted from pages: WET files, which are WARC records of the type `conversion`.

A record's headers are its columns for --where, such as `WARC-Identified-Content-Language == deu`. Records of pages that
were not converted hold HTML, of which no text is taken here; they are counted. Nothing else is between records, so a
file that is cut short or damaged shows itself.

Source: ISO 28500:2017, sections 4 and 5.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from bertd.data.sources.encodings import has_controls
from bertd.data.sources.readers.document import (
    MAX_DOCUMENT_BYTES,
    Block,
    ReadResult,
    Skipped,
    SkipReason,
    TooLong,
    cleaned_document,
    decode,
)
from bertd.data.sources.readers.rows.row_filter import RowFilter
from bertd.errors import CorpusError

WARC_MAGIC = b"WARC/1."
_MAX_LINE_BYTES = 1 << 16
_MAX_HEADERS = 1000
_PIECE_BYTES = 1 << 20
_END = b"\r\n\r\n"
_DESCRIPTIONS = ("warcinfo", "metadata", "request", "revisit")
"""Types of records that are about others, and have no text of their own."""


@dataclass(frozen=True)
class WarcText:
    """Reads the converted records of a file."""

    row_filter: RowFilter = RowFilter()

    def blocks(self, stream: BinaryIO, *, block_bytes: int) -> Iterator[Block]:
        """Complete records, without those that are about others.

        Raises:
            CorpusError: the file is not WARC, damaged, or cut short.
        """
        place = str(getattr(stream, "name", "WARC"))
        records: list[bytes] = []
        size = number = 0
        too_long = TooLong()
        while head := _read_head(stream, place=place, number=number + 1):
            number += 1
            headers = _parse_headers(head)
            length = _content_length(headers, place=place, number=number)
            body = _read_exactly(stream, min(length, MAX_DOCUMENT_BYTES), place=place, number=number)
            is_text = headers.get("warc-type") not in _DESCRIPTIONS
            if length > MAX_DOCUMENT_BYTES:
                too_long.begin(body)
                for begin in range(MAX_DOCUMENT_BYTES, length, _PIECE_BYTES):
                    too_long.add(_read_exactly(stream, min(_PIECE_BYTES, length - begin), place=place, number=number))
            elif is_text:
                records.append(head + body + _END)
                size += len(records[-1])
            if _read_exactly(stream, len(_END), place=place, number=number) != _END:
                raise CorpusError(f"{place}: record {number:,} is longer than it says; fetch the file again")
            if size >= block_bytes:
                yield too_long.take_block(b"".join(records))
                records, size = [], 0
        if not number:
            raise CorpusError(f"{place}: is empty; fetch it again, or remove it")
        if records or too_long.documents:
            yield too_long.take_block(b"".join(records))

    def documents(self, content: bytes) -> Iterator[ReadResult]:
        """A document for each record."""
        position = 0
        while position < len(content):
            begin = content.index(_END, position) + len(_END)
            headers = _parse_headers(content[position:begin])
            end = begin + int(headers["content-length"])
            yield self._read_record(headers, content[begin:end])
            position = end + len(_END)

    def _read_record(self, headers: dict[str, str], body: bytes) -> ReadResult:
        text = decode(body)
        if isinstance(text, Skipped):
            return text
        if headers.get("warc-type") != "conversion":
            return Skipped.with_text(SkipReason.OTHER_RECORD, text)
        if has_controls(body):
            return Skipped.with_text(SkipReason.NOT_TEXT, text)
        reason = self._skip_reason(headers)
        return cleaned_document(text) if reason is None else Skipped.with_text(reason, text)

    def _skip_reason(self, headers: dict[str, str]) -> SkipReason | None:
        """Names of headers are the same in small letters and in capitals."""
        by_name = {condition.column: headers.get(condition.column.lower()) for condition in self.row_filter.conditions}
        return self.row_filter.skip_reason(by_name)


def is_warc(head: bytes) -> bool:
    """Whether a file that begins so is WARC."""
    return head.startswith(WARC_MAGIC)


def _read_head(stream: BinaryIO, *, place: str, number: int) -> bytes:
    """The first line and the headers of the next record, with the blank line after them; empty at the end.

    Raises:
        CorpusError: it is not a record, or its headers do not end.
    """
    lines: list[bytes] = []
    while line := stream.readline(_MAX_LINE_BYTES):
        if not lines and not is_warc(line):
            raise CorpusError(f"{place}: record {number:,} does not begin as one of WARC; fetch the file again")
        lines.append(line.rstrip(b"\r\n") + b"\r\n")
        if not line.strip():
            return b"".join(lines)
        if len(lines) > _MAX_HEADERS or not line.endswith(b"\n"):
            break
    if lines:
        raise CorpusError(f"{place}: the headers of record {number:,} do not end; fetch the file again")
    return b""


def _parse_headers(head: bytes) -> dict[str, str]:
    headers = {}
    for line in head.decode("utf-8", "replace").split("\r\n")[1:]:
        name, colon, value = line.partition(":")
        if colon:
            headers[name.strip().lower()] = value.strip()
    return headers


def _content_length(headers: dict[str, str], *, place: str, number: int) -> int:
    text = headers.get("content-length", "")
    if not (text.isascii() and text.isdecimal() and len(text) < len(str(1 << 62))):
        raise CorpusError(f"{place}: record {number:,} does not say how long it is; fetch the file again")
    return int(text)


def _read_exactly(stream: BinaryIO, num_bytes: int, *, place: str, number: int) -> bytes:
    content = b""
    while len(content) < num_bytes:
        piece = stream.read(num_bytes - len(content))
        if not piece:
            raise CorpusError(f"{place}: ends within record {number:,}; the copy is incomplete: fetch it again")
        content += piece
    return content
