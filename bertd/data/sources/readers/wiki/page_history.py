"""A dump with the complete history of its pages, of which only the newest revisions pass.

A page's history may be gigabytes long. While one is read, the older of its revisions are replaced by an element that
counts their characters, so that memory holds little more than the newest.

    <older characters="123456">the beginning of one of them</older>
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from typing import BinaryIO
from xml.sax.saxutils import escape

from bertd.data.sources.readers.left_out import MAX_SAMPLE_CHARACTERS

PAGE_END = b"</page>"
OLDER = "older"
CHARACTERS = "characters"
_LONG_PAGE_BYTES = 1 << 22
"""A page that is not complete in so many bytes is cut down to its newest revision."""
_REVISION = re.compile(rb"<revision>.*?</revision>", re.DOTALL)
_COUNTED = re.compile(rf'<{OLDER} {CHARACTERS}="(\d+)">[^<]*</{OLDER}>'.encode())


class NewestRevisions:
    """Reads a dump; short pages pass as they are."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._page = b""
        """What was read since the last complete page."""

    def read(self, num_bytes: int) -> bytes:
        """About so many bytes, cut after a page where one is complete; empty only at the end."""
        while piece := self._stream.read(num_bytes):
            self._page += piece
            end = self._page.rfind(PAGE_END, max(0, len(self._page) - len(piece) - len(PAGE_END)))
            if end >= 0:
                end += len(PAGE_END)
                complete, self._page = self._page[:end], self._page[end:]
                return complete
            if len(self._page) > _LONG_PAGE_BYTES:
                self._page = keep_newest_revision(self._page)
                if len(self._page) > _LONG_PAGE_BYTES:
                    # One revision that is as long: a document that is too long is skipped by the reader.
                    break
        rest, self._page = self._page, b""
        return rest


def keep_newest_revision(page: bytes) -> bytes:
    """The beginning of a page with the newest of the revisions that are complete, and what follows them."""
    revisions = list(_REVISION.finditer(page))
    if len(revisions) < 2:
        return page
    parsed = [_parse_revision(match[0]) for match in revisions]
    newest = max(range(len(parsed)), key=lambda number: (parsed[number][0], number))
    older = [text for number, (_, text) in enumerate(parsed) if number != newest]
    head = page[: revisions[0].start()]
    num_characters = sum(map(len, older)) + sum(int(match[1]) for match in _COUNTED.finditer(head))
    sample = escape(max(older, key=len)[:MAX_SAMPLE_CHARACTERS])
    counted = f'<{OLDER} {CHARACTERS}="{num_characters}">{sample}</{OLDER}>'.encode()
    return _COUNTED.sub(b"", head) + counted + revisions[newest][0] + page[revisions[-1].end() :]


def _parse_revision(content: bytes) -> tuple[str, str]:
    """Time and text of a revision; one that is not XML is the oldest."""
    try:
        tree = ElementTree.fromstring(content)
    except ElementTree.ParseError:
        return "", content.decode("utf-8", "replace")
    return (tree.findtext("timestamp") or "").strip(), tree.findtext("text") or ""
