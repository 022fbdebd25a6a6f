"""A MediaWiki dump (`pages-articles*.xml.bz2`): articles as prose, streamed.

Only namespace 0, no redirects; disambiguation pages are left out unless asked for. The dump's own names of the file
and category namespaces (`Datei:`, `Fichier:`) come from its head, which is put before every block.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from bertd.data.sources.readers.document import Block, ReadResult, SkipReason, clean, cut_blocks
from bertd.data.sources.readers.wikitext import (
    DEFAULT_DROPPED_PREFIXES,
    has_too_many_open_brackets,
    is_redirect,
    wikitext_to_prose,
)

_PAGE_BEGIN = re.compile(rb"<page>")
_PAGE_END = b"</page>"
_HEAD = re.compile(rb"<siteinfo>.*?</siteinfo>", re.DOTALL)
_NAMESPACE = re.compile(rb'<namespace key="(-?\d+)"[^>]*>([^<]+)</namespace>')
_DROPPED_NAMESPACES = {b"-2", b"6", b"14"}
"""Media, files, categories."""
_DISAMBIGUATION = re.compile(
    r"\{\{\s*(?:[\w ()-]*disambig\w*|disamb|dab|hndis|geodis|begriffsklärung|homonymie|desambiguación)\b[^{}]*\}\}",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class WikiXml:
    keep_disambiguation: bool = False

    def blocks(self, stream: BinaryIO, *, block_bytes: int) -> Iterator[Block]:
        """Cut between pages, each block with the dump's head."""
        head = b""
        for number, block in enumerate(cut_blocks(stream, ends=(_PAGE_END,), block_bytes=block_bytes)):
            if number == 0 and (found := _HEAD.search(block.content)):
                head = found[0]
            yield Block(head + block.content if number else block.content, too_long=block.too_long)

    def documents(self, content: bytes) -> Iterator[ReadResult]:
        """One document a page."""
        prefixes = DEFAULT_DROPPED_PREFIXES | {
            name.decode("utf-8", "replace").lower()
            for key, name in _NAMESPACE.findall(content)
            if key in _DROPPED_NAMESPACES
        }
        begins = [match.start() for match in _PAGE_BEGIN.finditer(content)]
        for begin, end in zip(begins, [*begins, len(content)][1:], strict=True):
            page, closed, _ = content[begin:end].partition(_PAGE_END)
            yield self._parse_page(page + closed, dropped_prefixes=prefixes) if closed else SkipReason.UNCLOSED

    def _parse_page(self, page: bytes, *, dropped_prefixes: frozenset[str]) -> ReadResult:
        try:
            tree = ElementTree.fromstring(page)
        except ElementTree.ParseError:
            return SkipReason.DAMAGED
        if (tree.findtext("ns") or "0").strip() != "0":
            return SkipReason.OTHER_NAMESPACE
        wikitext = clean(tree.findtext("revision/text") or "")
        if tree.find("redirect") is not None or is_redirect(wikitext):
            return SkipReason.REDIRECT
        if not self.keep_disambiguation and _DISAMBIGUATION.search(wikitext):
            return SkipReason.DISAMBIGUATION
        if has_too_many_open_brackets(wikitext):
            return SkipReason.DAMAGED
        return wikitext_to_prose(wikitext, dropped_prefixes=dropped_prefixes)
