"""Plain text whose lines are documents; what is outside of Project Gutenberg's books is left out."""

from __future__ import annotations

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
    decode_leniently,
    skip_undecoded,
)
from bertd.data.sources.readers.gutenberg import cut_outside_licences, split_books

_SPACES = " \t\r\x0b\x0c"


@dataclass(frozen=True)
class TextLines:
    def blocks(self, stream: BinaryIO, *, block_bytes: int) -> Iterator[Block]:
        """Cut between lines."""
        return cut_blocks(stream, ends=(b"\n",), block_bytes=block_bytes, move_cut=cut_outside_licences)

    def documents(self, content: bytes) -> Iterator[ReadResult]:
        """One document a line; blank lines are skipped."""
        for book in split_books(decode_leniently(content)):
            for line in _split_lines(book.before):
                yield Skipped.with_text(SkipReason.HEADER, line)
            for line in _split_lines(book.text):
                yield skip_undecoded(line) or cleaned_document(line)
            for line in _split_lines(book.after):
                yield Skipped.with_text(SkipReason.HEADER, line)


def _split_lines(text: str) -> list[str]:
    return [line for line in text.split("\n") if line.strip(_SPACES)]
