"""WikiExtractor's output, `<doc ...>` elements or JSON lines; the first line of an article, its title, is dropped.

    <doc id="12" url="?curid=12" title="Anarchism">
    Anarchism

    Anarchism is a political philosophy ...
    </doc>

A redirect is a title without text. Source of the dropped title: the 24hBERT pipeline's process_data.py.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from bertd.data.sources.readers.document import Block, ReadResult, SkipReason, cut_blocks, decode
from bertd.data.sources.readers.jsonl import JsonLines

_BEGIN = re.compile(rb"^<doc id=", re.MULTILINE)
_END = b"</doc>"
# WikiExtractor leaves these where a page's markup was broken.
_LEFTOVERS = re.compile(r"</?(?:br|ref|section|onlyinclude|noinclude|includeonly|templatestyles|mapframe)\b[^<>]*>")


@dataclass(frozen=True)
class WikiExtractor:
    """Reads both forms; the first byte of a block shows which it is."""

    def blocks(self, stream: BinaryIO, *, block_bytes: int) -> Iterator[Block]:
        """Cut between articles."""
        return cut_blocks(stream, ends=(_END + b"\n", b"}\n", _END + b"\r\n"), block_bytes=block_bytes)

    def documents(self, content: bytes) -> Iterator[ReadResult]:
        """One document for each element or line."""
        if content.lstrip().startswith(b"{"):
            for result in JsonLines().documents(content):
                yield (_clean_prose(result) or SkipReason.REDIRECT) if isinstance(result, str) else result
            return
        begins = [match.start() for match in _BEGIN.finditer(content)]
        for begin, end in zip(begins, [*begins, len(content)][1:], strict=True):
            yield _parse_article(content[begin:end])


def _parse_article(element: bytes) -> ReadResult:
    body, closed, _ = element.partition(_END)
    if not closed:
        return SkipReason.UNCLOSED
    text = decode(body)
    if isinstance(text, SkipReason):
        return text
    _, _, prose = text.partition("\n")
    _, _, prose = prose.lstrip("\n").partition("\n")
    return _clean_prose(prose) or SkipReason.REDIRECT


def _clean_prose(text: str) -> str:
    if "&" in text:
        text = html.unescape(text)
    if "<" in text:
        text = _LEFTOVERS.sub(" ", text)
    return text.strip()
