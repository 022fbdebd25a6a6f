"""Rows of tables on their way from the reading process to a worker: JSON lines of a kind and a text.

["text", "The mill stands by the river."]
["damaged", "a row that cannot be read as its table says"]
["not text", null]
["article", " = Mill = \\n The mill stands by the river . \\n"]
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from bertd.data.sources.readers.document import (
    MAX_DOCUMENT_BYTES,
    Block,
    ReadResult,
    Skipped,
    SkipReason,
    TooLong,
    cleaned_document,
)
from bertd.data.sources.readers.rows.row_filter import RowFilter
from bertd.data.sources.readers.wiki.wikitext103 import WikiText103


class RowKind(StrEnum):
    """What a row holds."""

    TEXT = "text"
    DAMAGED = "damaged"
    NOT_TEXT = "not text"
    """A value that is empty or a number, for example."""
    NOT_WHERE = "not where"
    """A text whose other columns do not meet --where."""
    NO_COLUMN = "no column"
    """A text that has no value for --where."""
    ARTICLE = "article"
    """Lines in WikiText's form, joined from several rows."""


@dataclass(frozen=True)
class Row:
    kind: RowKind
    text: str
    """With half a surrogate pair for each byte that is not UTF-8."""

    @classmethod
    def of_value(cls, value: object) -> Row:
        """A row of its own for a value of a column."""
        if isinstance(value, bytes):
            # Impala and old versions of Spark write texts as bytes.
            value = value.decode("utf-8", "surrogateescape")
        return cls(RowKind.TEXT, value) if isinstance(value, str) else cls(RowKind.NOT_TEXT, json.dumps(value))

    def filtered(self, row_filter: RowFilter, record: Mapping[str, object]) -> Row:
        """The row, as one that is left out if its other columns do not meet the conditions."""
        reason = row_filter.skip_reason(record) if self.kind is RowKind.TEXT else None
        return self if reason is None else Row(_KINDS_BY_REASON[reason], self.text)


_KINDS_BY_REASON = {SkipReason.NOT_WHERE: RowKind.NOT_WHERE, SkipReason.NO_COLUMN: RowKind.NO_COLUMN}


def pack_rows(rows: Iterable[Row], *, block_bytes: int) -> Iterator[Block]:
    """Blocks of about `block_bytes`; a row that is longer than a document may be is counted."""
    lines: list[bytes] = []
    size = 0
    too_long = TooLong()
    for row in rows:
        if len(content := row.text.encode("utf-8", "replace")) > MAX_DOCUMENT_BYTES:
            too_long.begin(content)
            continue
        lines.append(json.dumps([row.kind, row.text]).encode() + b"\n")
        size += len(lines[-1])
        if size >= block_bytes:
            yield too_long.take_block(b"".join(lines))
            lines, size = [], 0
    if lines or too_long.documents:
        yield too_long.take_block(b"".join(lines))


def read_rows(content: bytes) -> Iterator[ReadResult]:
    """The documents of a block of rows."""
    for line in content.splitlines():
        kind, text = json.loads(line)
        match RowKind(kind):
            case RowKind.TEXT:
                yield cleaned_document(text)
            case RowKind.DAMAGED:
                yield Skipped.with_text(SkipReason.DAMAGED_ROW, text)
            case RowKind.NOT_TEXT:
                yield Skipped.with_text(SkipReason.NO_FIELD, text)
            case RowKind.NOT_WHERE:
                yield Skipped.with_text(SkipReason.NOT_WHERE, text)
            case RowKind.NO_COLUMN:
                yield Skipped.with_text(SkipReason.NO_COLUMN, text)
            case RowKind.ARTICLE:
                yield from WikiText103().documents(text.encode("utf-8", "surrogateescape"))
