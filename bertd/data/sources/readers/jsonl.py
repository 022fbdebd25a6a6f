"""JSON lines: one object a line, its text in one field."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from bertd.data.sources.readers.document import Block, ReadResult, SkipReason, clean, cut_blocks


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
                yield self._parse_line(line)

    def _parse_line(self, line: bytes) -> ReadResult:
        try:
            # A byte order mark may open the file.
            tree = json.loads(line.decode("utf-8-sig"))
        except UnicodeDecodeError:
            return SkipReason.INVALID_UTF8
        except (ValueError, RecursionError):
            return SkipReason.NOT_JSON
        if not isinstance(tree, dict):
            return SkipReason.NOT_JSON
        text = tree.get(self.text_field)
        return clean(text) if isinstance(text, str) else SkipReason.NO_FIELD
