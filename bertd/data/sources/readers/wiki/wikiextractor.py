"""WikiExtractor's output, `<doc ...>` elements or JSON lines; titles are left out, of links the words are kept.

    <doc id="12" url="?curid=12" title="Anarchism">
    Anarchism

    Anarchism is a political philosophy ...
    </doc>

Its versions differ: some begin the text with the title, in JSON also; some mark sections (`Section::::History.`) and
list items (`BULLET::::- word`); with `--links` the text has `<a href=...>`, escaped or not. A redirect is a title
without text.
"""

from __future__ import annotations

import html
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
    cut_blocks,
    decode,
)
from bertd.data.sources.readers.left_out import LeftOut
from bertd.data.sources.readers.rows.jsonl import parse_record
from bertd.data.sources.readers.wiki.html_tags import INLINE_TAG, OTHER_TAG

_BEGIN = re.compile(rb"^<doc id=", re.MULTILINE)
_END = b"</doc>"
_OPENING = re.compile(r"^<doc [^\n]*>")
_TITLE = re.compile(r"""\btitle=(?:"([^\n]*)"|'([^\n]*)')\s*>$""")
_TEXT_FIELD = "text"
_SECTION_LINE = re.compile(r"^Section::::[^\n]*$", re.MULTILINE)
_ITEM_MARK = re.compile(r"^(?:BULLET|INDENT)::::(?:[-*:]+|\d+\.)?[ \t]*", re.MULTILINE)


@dataclass(frozen=True)
class WikiExtractor:
    """Reads both forms; the first byte of a block shows which it is."""

    def blocks(self, stream: BinaryIO, *, block_bytes: int) -> Iterator[Block]:
        """Cut between articles."""
        return cut_blocks(stream, ends=(_END + b"\n", b"}\n", _END + b"\r\n"), block_bytes=block_bytes)

    def documents(self, content: bytes) -> Iterator[ReadResult]:
        """One document for each element or line."""
        if content.lstrip().startswith(b"{"):
            yield from (_parse_line(line) for line in content.split(b"\n") if line.strip())
            return
        begins = [match.start() for match in _BEGIN.finditer(content)]
        outside = [content[: begins[0] if begins else None]]
        for begin, end in zip(begins, [*begins, len(content)][1:], strict=True):
            body, closed, after = content[begin:end].partition(_END)
            outside.append(after)
            yield _parse_element(body) if closed else Skipped.with_bytes(SkipReason.UNCLOSED, body)
        if text := b" ".join(outside).strip():
            yield Skipped.with_bytes(SkipReason.OUTSIDE, text)


def _parse_line(line: bytes) -> ReadResult:
    record = parse_record(line)
    if isinstance(record, Skipped):
        return record
    text, title = record.get(_TEXT_FIELD), record.get("title")
    if not isinstance(text, str):
        return Skipped.with_bytes(SkipReason.NO_FIELD if text is None else SkipReason.FIELD_NOT_TEXT, line)
    return _read_article(text, title=title if isinstance(title, str) else None)


def _parse_element(element: bytes) -> ReadResult:
    text = decode(element)
    if isinstance(text, Skipped):
        return text
    opening = _OPENING.match(text)
    found = _TITLE.search(opening[0].rstrip()) if opening else None
    title = (found[1] or found[2]) if found else None
    return _read_article(text[opening.end() :] if opening else text, title=title)


def _read_article(raw: str, *, title: str | None) -> ReadResult:
    """An article's text; its first line goes if it is the title."""
    left_out = LeftOut()
    text = clean(raw)
    first, _, rest = text.partition("\n")
    if title is not None and _plain(first) == _plain(title):
        left_out.add(SkipReason.TITLE, first)
        text = rest
    text = _clean_prose(text, left_out)
    if not text:
        return Skipped.with_text(SkipReason.REDIRECT, raw)
    return Document.account(text, read=len(raw), left_out=left_out)


def _plain(title: str) -> str:
    """A title without entities, of which each version escapes others."""
    return " ".join(html.unescape(html.unescape(title)).split())


def _clean_prose(text: str, left_out: LeftOut) -> str:
    if "&" in text:
        unescaped = html.unescape(text)
        left_out.add_count(SkipReason.MARKUP, len(text) - len(unescaped), sample="")
        text = unescaped
    if "::::" in text:
        text = _cut(_SECTION_LINE, text, left_out, reason=SkipReason.TITLE)
        text = _cut(_ITEM_MARK, text, left_out)
    if "<" in text:
        text = _cut(OTHER_TAG, _cut(INLINE_TAG, text, left_out), left_out, instead=" ")
    return text.strip()


def _cut(
    pattern: re.Pattern[str], text: str, left_out: LeftOut, *, instead: str = "", reason: SkipReason = SkipReason.MARKUP
) -> str:
    def record(match: re.Match[str]) -> str:
        left_out.add(reason, match[0], kept=len(instead))
        return instead

    return pattern.sub(record, text)
