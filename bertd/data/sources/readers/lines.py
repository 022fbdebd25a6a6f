"""Plain text whose lines are documents."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from bertd.data.sources.readers.document import Block, ReadResult, Skipped, cleaned_document, cut_blocks, decode


@dataclass(frozen=True)
class TextLines:
    def blocks(self, stream: BinaryIO, *, block_bytes: int) -> Iterator[Block]:
        """Cut between lines."""
        return cut_blocks(stream, ends=(b"\n",), block_bytes=block_bytes)

    def documents(self, content: bytes) -> Iterator[ReadResult]:
        """One document a line; blank lines are skipped."""
        for line in content.split(b"\n"):
            if line.strip():
                text = decode(line)
                yield text if isinstance(text, Skipped) else cleaned_document(text)
