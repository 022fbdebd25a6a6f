"""JSON lines: one object a line, its text in one field.

Files that were joined without a line break between them have several objects in a line, which are read one by one.
Where the texts are the lines of articles, as `datasets` writes the WikiText data sets, an article is a document: then
the blocks begin with a mark and end between articles.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import islice

from bertd.data.sources.readers.document import (
    MAX_DOCUMENT_BYTES,
    Block,
    Readable,
    ReadResult,
    Skipped,
    SkipReason,
    cleaned_document,
    cut_blocks,
)
from bertd.data.sources.readers.rows.row_filter import RowFilter
from bertd.data.sources.readers.wiki.wikitext103 import WikiText103, is_article_lines, is_title
from bertd.program import print_note

_DECODER = json.JSONDecoder()
_BEGIN_BYTES = 1 << 20
_NUM_FIRST_LINES = 2048
"""Lines within the first _BEGIN_BYTES that may show articles: a file of a larger set begins anywhere in one."""
_ARTICLES = b"\x00articles\x00"
"""Opens a block of lines that are parts of articles."""
JOINT = re.compile(rb'\}[ \t\r]*\{[ \t\r]*"')
"""What is between two objects; it may also be within a text."""


@dataclass(frozen=True)
class JsonLines:
    """Reads one field of each object."""

    text_field: str = "text"
    row_filter: RowFilter = RowFilter()

    _said: set[str] = field(default_factory=set, compare=False)
    """Files that were named to the user."""

    def blocks(self, stream: Readable, *, block_bytes: int) -> Iterator[Block]:
        """Cut between lines, or, where these are parts of articles, between articles."""
        begin = stream.read(_BEGIN_BYTES)
        blocks = cut_blocks(_Resumed(begin, stream), ends=(b"\n",), block_bytes=block_bytes)
        if not self._holds_article_lines(begin):
            return blocks
        name = str(getattr(stream, "name", "a file"))
        if name not in self._said:
            self._said.add(name)
            print_note(f"{name}: its rows are lines of articles under headings; each article is read as a document")
        return self._cut_articles(blocks, block_bytes=block_bytes)

    def documents(self, content: bytes) -> Iterator[ReadResult]:
        """One document a line, blank lines are skipped; or one an article."""
        if content.startswith(_ARTICLES):
            yield from self._read_articles(content.removeprefix(_ARTICLES))
            return
        for record in _split_lines(content):
            text = self._take_text(record)
            yield text if isinstance(text, Skipped) else cleaned_document(text)

    def _take_text(self, line: bytes) -> str | Skipped:
        record = parse_record(line)
        if isinstance(record, Skipped):
            return record
        text = record.get(self.text_field)
        if isinstance(text, str):
            reason = self.row_filter.skip_reason(record)
            return text if reason is None else Skipped.with_text(reason, text)
        # The text may be in another field, so the record counts with all of its line.
        return Skipped.with_bytes(SkipReason.NO_FIELD if text is None else SkipReason.FIELD_NOT_TEXT, line)

    def _holds_article_lines(self, begin: bytes) -> bool:
        if b"= " not in begin:
            return False
        texts = map(self._take_text, islice(_split_lines(begin[: begin.rfind(b"\n") + 1]), _NUM_FIRST_LINES))
        return is_article_lines([text for text in texts if isinstance(text, str)])

    def _cut_articles(self, blocks: Iterator[Block], *, block_bytes: int) -> Iterator[Block]:
        held: list[bytes] = []
        size = 0
        for block in blocks:
            if block.too_long:
                yield replace(block, content=b"")
            for line in block.content.splitlines(keepends=True):
                is_full = size >= block_bytes and self._is_title(line)
                if is_full or size + len(line) > MAX_DOCUMENT_BYTES:
                    yield Block(_ARTICLES + b"".join(held))
                    held, size = [], 0
                held.append(line)
                size += len(line)
        if held:
            yield Block(_ARTICLES + b"".join(held))

    def _is_title(self, line: bytes) -> bool:
        text = self._take_text(line)
        return isinstance(text, str) and is_title(text)

    def _read_articles(self, content: bytes) -> Iterator[ReadResult]:
        lines: list[str] = []
        for record in _split_lines(content):
            text = self._take_text(record)
            if isinstance(text, Skipped):
                yield text
                continue
            # Blank lines before the first title are no article.
            if is_title(text) and any(map(str.strip, lines)):
                yield from _read_article(lines)
                lines = []
            lines.append(text if text.endswith("\n") else f"{text}\n")
        if lines:
            yield from _read_article(lines)


class _Resumed:
    """A stream whose beginning was read."""

    def __init__(self, begin: bytes, rest: Readable) -> None:
        self._begin = begin
        self._rest = rest

    def read(self, num_bytes: int, /) -> bytes:
        """Up to about so many bytes; empty at the end."""
        if not self._begin:
            return self._rest.read(num_bytes)
        piece, self._begin = self._begin[:num_bytes], self._begin[num_bytes:]
        return piece


def _split_lines(content: bytes) -> Iterator[bytes]:
    """The records of each line that is not blank."""
    for line in content.split(b"\n"):
        if line.strip():
            yield from split_records(line)


def _read_article(lines: list[str]) -> Iterator[ReadResult]:
    # Half a surrogate pair, which JSON can spell, makes it text that is not UTF-8.
    return WikiText103().documents("".join(lines).encode("utf-8", "surrogatepass"))


def split_records(line: bytes) -> list[bytes]:
    """The objects of a line, which are several where files were joined; a line that is not only objects stays whole."""
    if not JOINT.search(line):
        return [line]
    text = line.decode("utf-8", "surrogateescape").strip("\ufeff \t\r")
    records: list[bytes] = []
    position = 0
    try:
        while position < len(text):
            if text[position] != "{":
                return [line]
            _, end = _DECODER.raw_decode(text, position)
            records.append(text[position:end].encode("utf-8", "surrogateescape"))
            position = end
            while position < len(text) and text[position].isspace():
                position += 1
    except (ValueError, RecursionError):
        return [line]
    return records


def parse_record(line: bytes) -> dict[str, object] | Skipped:
    """The object of a line."""
    try:
        # A byte order mark may open the file.
        tree = json.loads(line.decode("utf-8-sig"))
    except UnicodeDecodeError:
        return Skipped.with_bytes(SkipReason.INVALID_UTF8, line)
    except (ValueError, RecursionError):
        return Skipped.with_bytes(SkipReason.NOT_JSON, line)
    return tree if isinstance(tree, dict) else Skipped.with_bytes(SkipReason.NOT_JSON, line)
