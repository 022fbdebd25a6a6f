"""A MediaWiki dump (`pages-articles*.xml.bz2`, `pages-meta-history`, Special:Export): articles as prose, streamed.

Only wikitext of namespace 0, no redirects; disambiguation pages are left out unless asked for. Of a page with several
revisions the newest is read. The dump's own names of the file and category namespaces (`Datei:`, `Fichier:`) come from
its head, which is put before every block.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import BinaryIO

from bertd.data.sources.readers.document import Block, Document, ReadResult, Skipped, SkipReason, clean, cut_blocks
from bertd.data.sources.readers.left_out import LeftOut
from bertd.data.sources.readers.wiki.disambiguation import is_disambiguation
from bertd.data.sources.readers.wiki.page_history import CHARACTERS, OLDER, PAGE_END, NewestRevisions
from bertd.data.sources.readers.wiki.wikitext import (
    DEFAULT_DROPPED_PREFIXES,
    has_too_many_open_brackets,
    is_redirect,
    read_wikitext,
)
from bertd.data.sources.readers.wiki.wikitext_literal import take_out_literals

_PAGE_BEGIN = re.compile(rb"<page>")
_HEAD = re.compile(rb"(<mediawiki\b[^>]*>).*?(<siteinfo>.*?</siteinfo>)", re.DOTALL)
_NAMESPACE = re.compile(rb'<namespace key="(-?\d+)"[^>]*>([^<]+)</namespace>')
_DROPPED_NAMESPACES = {b"-2", b"6", b"14"}
"""Media, files, categories."""
_LANGUAGE = re.compile(
    rb"<mediawiki\b[^>]*\bxml:lang=[\"']([a-z]+)|<dbname>([a-z]+?)(?:_[a-z_]+)?(?:wiki|wik)\w*</dbname>"
)
_SITEINFO_OR_TAG = re.compile(rb"<siteinfo>.*?</siteinfo>|<[^>]*>", re.DOTALL)
_WIKITEXT = "wikitext"


@dataclass(frozen=True)
class _DumpHead:
    """What a dump's head says of all its pages."""

    dropped_prefixes: frozenset[str]
    """Of links to files and categories."""
    language: str | None

    @classmethod
    def parse(cls, content: bytes) -> _DumpHead:
        names = {
            name.decode("utf-8", "replace").lower()
            for key, name in _NAMESPACE.findall(content)
            if key in _DROPPED_NAMESPACES
        }
        found = _LANGUAGE.search(content)
        language = (found[1] or found[2]).decode() if found else None
        return cls(dropped_prefixes=DEFAULT_DROPPED_PREFIXES | names, language=language)


@dataclass(frozen=True)
class WikiXml:
    keep_disambiguation: bool = False

    def blocks(self, stream: BinaryIO, *, block_bytes: int) -> Iterator[Block]:
        """Cut between pages, each block with the dump's head."""
        head = b""
        for number, block in enumerate(cut_blocks(NewestRevisions(stream), ends=(PAGE_END,), block_bytes=block_bytes)):
            if number == 0 and (found := _HEAD.search(block.content)):
                head = found[1] + found[2]
            yield replace(block, content=head + block.content) if number else block

    def documents(self, content: bytes) -> Iterator[ReadResult]:
        """One document a page."""
        head = _DumpHead.parse(content)
        begins = [match.start() for match in _PAGE_BEGIN.finditer(content)]
        outside = [content[: begins[0] if begins else None]]
        for begin, end in zip(begins, [*begins, len(content)][1:], strict=True):
            page, closed, after = content[begin:end].partition(PAGE_END)
            outside.append(after)
            yield self._parse_page(page + closed, head) if closed else Skipped.with_bytes(SkipReason.UNCLOSED, page)
        if text := b" ".join(_SITEINFO_OR_TAG.sub(b" ", one) for one in outside).strip():
            yield Skipped.with_bytes(SkipReason.OUTSIDE, text)

    def _parse_page(self, page: bytes, head: _DumpHead) -> ReadResult:
        try:
            tree = ElementTree.fromstring(page)
        except ElementTree.ParseError:
            return Skipped.with_bytes(SkipReason.DAMAGED, page)
        revisions = tree.findall("revision")
        newest = max(enumerate(revisions), key=lambda item: _revision_order(*item), default=(0, tree))[1]
        wikitext = newest.findtext("text") or ""
        older = _count_older(tree, newest)
        reason = self._skip_reason(tree, newest, head)
        if reason is not None:
            return Skipped(reason, read=len(wikitext) + older.total, sample=wikitext)
        document = read_wikitext(clean(wikitext), dropped_prefixes=head.dropped_prefixes)
        document.left_out.update(older)
        return Document.account(document.text, read=len(wikitext) + older.total, left_out=document.left_out)

    def _skip_reason(
        self, page: ElementTree.Element, newest: ElementTree.Element, head: _DumpHead
    ) -> SkipReason | None:
        """Why a page is not an article, judged by its newest revision."""
        wikitext = newest.findtext("text") or ""
        if (page.findtext("ns") or "0").strip() != "0":
            return SkipReason.OTHER_NAMESPACE
        if (newest.findtext("model") or _WIKITEXT).strip() != _WIKITEXT:
            return SkipReason.OTHER_MODEL
        # The page's own mark is of today; the revisions of a dump may be older.
        is_only_revision = len(page.findall("revision")) == 1 and page.find(OLDER) is None
        is_marked = page.find("redirect") is not None and is_only_revision
        if is_marked or is_redirect(wikitext):
            return SkipReason.REDIRECT
        if has_too_many_open_brackets(wikitext):
            return SkipReason.DAMAGED
        if not self.keep_disambiguation and is_disambiguation(
            take_out_literals(wikitext, LeftOut()), language=head.language
        ):
            return SkipReason.DISAMBIGUATION
        return None


def _revision_order(number: int, revision: ElementTree.Element) -> tuple[str, int]:
    """Sorts by time, and where a dump has none, by place."""
    return (revision.findtext("timestamp") or "").strip(), number


def _count_older(page: ElementTree.Element, newest: ElementTree.Element) -> LeftOut:
    """The characters of all revisions but one."""
    left_out = LeftOut()
    for revision in page.findall("revision"):
        if revision is not newest:
            left_out.add(SkipReason.OLDER_REVISION, revision.findtext("text") or "")
    for counted in page.findall(OLDER):
        left_out.add_count(SkipReason.OLDER_REVISION, int(counted.attrib[CHARACTERS]), sample=counted.text or "")
    return left_out
