"""Articles one after the other, each under `= = = Title = = =`: the form of BabyLM's Wikipedia text.

A title may be anywhere in a line. Titles are left out; the text before the first one, the end of an article that begins
elsewhere, is a separate document.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from bertd.data.sources.readers.document import MAX_DOCUMENT_BYTES, Block, ReadResult, decode

HEADING = re.compile(rb"(?:^|(?<=\s))= = = [^=\n]{1,300} = = =(?=\s|$)", re.MULTILINE)


@dataclass(frozen=True)
class Headings:
    def blocks(self, stream: BinaryIO, *, block_bytes: int) -> Iterator[Block]:
        """Cut before headings."""
        rest = b""
        while piece := stream.read(block_bytes):
            rest += piece
            begins = [match.start() for match in HEADING.finditer(rest)]
            cut = begins[-1] if begins else 0
            if cut:
                yield Block(rest[:cut])
                rest = rest[cut:]
            elif len(rest) > MAX_DOCUMENT_BYTES:
                yield Block(rest)
                rest = b""
        if rest:
            yield Block(rest)

    def documents(self, content: bytes) -> Iterator[ReadResult]:
        """The text between headings."""
        pieces = HEADING.split(content)
        for number, piece in enumerate(pieces):
            # A heading that opens the block has nothing before it.
            if number or piece.strip():
                yield decode(piece)
