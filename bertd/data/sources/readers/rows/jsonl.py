"""JSON lines: one object a line, its text in one field.

Files that were joined without a line break between them have several objects in a line, which are read one by one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from bertd.data.sources.readers.document import (
    Block,
    ReadResult,
    Skipped,
    SkipReason,
    cleaned_document,
    cut_blocks,
)

_DECODER = json.JSONDecoder()
JOINT = re.compile(rb'\}[ \t\r]*\{[ \t\r]*"')
"""What is between two objects; it may also be within a text."""


@dataclass(frozen=True)
class JsonLines:
    """Reads one field of each object."""

    text_field: str = "text"

    def blocks(self, stream: BinaryIO, *, block_bytes: int) -> Iterator[Block]:
        """Cut between lines."""
        return cut_blocks(stream, ends=(b"\n",), block_bytes=block_bytes)

    def documents(self, content: bytes) -> Iterator[ReadResult]:
        """One document a line; blank lines are skipped."""
        for line in content.split(b"\n"):
            if line.strip():
                yield from map(self._parse_record, split_records(line))

    def _parse_record(self, line: bytes) -> ReadResult:
        record = parse_record(line)
        if isinstance(record, Skipped):
            return record
        text = record.get(self.text_field)
        if not isinstance(text, str):
            # The text may be in another field, so the record counts with all of its line.
            reason = SkipReason.NO_FIELD if text is None else SkipReason.FIELD_NOT_TEXT
            return Skipped.with_bytes(reason, line)
        return cleaned_document(text)


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
