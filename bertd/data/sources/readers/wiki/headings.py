"""Articles one after the other, each under `= = = Title = = =`: the form of BabyLM's Wikipedia text.

A title may be anywhere in a line. Titles are left out; the text before the first one, the end of an article that begins
elsewhere, is a separate document.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from bertd.data.sources.readers.document import (
    Block,
    Document,
    ReadResult,
    Skipped,
    SkipReason,
    clean,
    cut_before,
    decode,
)
from bertd.data.sources.readers.left_out import LeftOut

HEADING = re.compile(rb"(?:^|(?<=\s))= = = [^=\n]{1,300} = = =(?=\s|$)", re.MULTILINE)


@dataclass(frozen=True)
class Headings:
    def blocks(self, stream: BinaryIO, *, block_bytes: int) -> Iterator[Block]:
        """Cut before headings."""
        return cut_before(stream, begin=HEADING, block_bytes=block_bytes)

    def documents(self, content: bytes) -> Iterator[ReadResult]:
        """The text between headings."""
        begins = [match.span() for match in HEADING.finditer(content)]
        first = begins[0][0] if begins else len(content)
        # A heading that opens the block has nothing before it.
        if content[:first].strip():
            yield _read_article(b"", content[:first])
        for (begin, end), (after, _) in zip(begins, [*begins, (len(content), 0)][1:], strict=True):
            yield _read_article(content[begin:end], content[end:after])


def _read_article(heading: bytes, body: bytes) -> ReadResult:
    title, text = decode(heading), decode(body)
    if isinstance(title, Skipped) or isinstance(text, Skipped):
        return Skipped.with_bytes(SkipReason.INVALID_UTF8, heading + body)
    left_out = LeftOut()
    left_out.add(SkipReason.TITLE, title)
    return Document.account(clean(text), read=len(title) + len(text), left_out=left_out)
