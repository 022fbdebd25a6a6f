"""The form of the WikiText data sets (WikiText-2, WikiText-103): articles under headings on lines of their own.

     = Title =
     text of the article , with spaces around its punctuation
     = = Section = =
     = = = Subsection = = =

Sections may also be written `== Section ==`. An article begins at each first-level heading; the headings are left
out. Hyphens and separators in words, written `@-@`, `@,@` and `@.@`, are rejoined. `<unk>` stands for a word that the
makers took out, and is left out as that.
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
    SkipReason,
    clean,
    cut_before,
    decode_leniently,
    skip_undecoded,
)
from bertd.data.sources.readers.left_out import LeftOut

_TITLE_BEGIN = re.compile(rb"^[ \t]*= (?![= ])(?=[^\n]*[^=\s] =[ \t]*\r?\n)", re.MULTILINE)
_TITLE = re.compile(r"^[ \t]*= (?![= ])(?=[^\n]*[^=\s] =[ \t]*$)", re.MULTILINE)
_HEADING = re.compile(r"^[ \t]*(=(?: ?=)*) (?![= ])[^\n]*[^=\s] (=(?: ?=)*)[ \t]*$\n?", re.MULTILINE)
_SECTION = re.compile(rb"^[ \t]*= = (?![= ])[^\n]*[^=\s] = =[ \t]*\r?$", re.MULTILINE)
_SEPARATOR = re.compile(r" ?@([-,./])@ ?")
_SEPARATOR_BYTES = re.compile(rb" @[-,.]@ ")
_UNKNOWN = re.compile(r" ?<unk>")


def is_wikitext103(begin: bytes) -> bool:
    """Whether a file that begins so has this form; a part of a larger file may begin anywhere in an article."""
    first_line = begin.lstrip().split(b"\n", 1)[0] + b"\n"
    return any(found is not None for found in (_TITLE_BEGIN.match(first_line), _SECTION.search(begin))) or (
        _SEPARATOR_BYTES.search(begin) is not None
    )


def is_title(line: str) -> bool:
    """Whether a line opens an article."""
    return _TITLE.match(line) is not None


def is_article_lines(lines: list[str]) -> bool:
    """Whether texts are the lines of articles: some of them are headings, and none is more than a line."""
    has_headings = any(heading is not None and _is_balanced(heading) for heading in map(_HEADING.match, lines))
    return has_headings and all("\n" not in line[:-1] for line in lines)


@dataclass(frozen=True)
class WikiText103:
    """Reads all variants: raw or with `<unk>`, with or without blank lines, cut anywhere."""

    def blocks(self, stream: BinaryIO, *, block_bytes: int) -> Iterator[Block]:
        """Cut before titles."""
        return cut_before(stream, begin=_TITLE_BEGIN, block_bytes=block_bytes)

    def documents(self, content: bytes) -> Iterator[ReadResult]:
        """One document an article; what is before the first title is the end of another."""
        raw = decode_leniently(content)
        text = clean(raw)
        surplus = len(raw) - len(text)
        begins = [match.start() for match in _TITLE.finditer(text)]
        bounds = [*([0] if not begins or text[: begins[0]].strip() else []), *begins, len(text)]
        for begin, end in zip(bounds, bounds[1:], strict=False):
            article = text[begin:end]
            yield skip_undecoded(article, surplus=surplus) or _read_article(article, surplus=surplus)
            surplus = 0


def _read_article(article: str, *, surplus: int) -> Document:
    """An article without its headings.

    Args:
        surplus: characters read with it that are already removed.
    """
    left_out = LeftOut()

    def drop_heading(match: re.Match[str]) -> str:
        if not _is_balanced(match):
            return match[0]
        left_out.add(SkipReason.TITLE, match[0])
        return ""

    text = _HEADING.sub(drop_heading, article)
    text, num_unknown = _UNKNOWN.subn("", text)
    if num_unknown:
        removed = len(article) - left_out.total - len(text)
        left_out.add_count(SkipReason.UNKNOWN_WORD, removed, sample="<unk>")
    rejoined = _SEPARATOR.sub(r"\1", text)
    left_out.add_count(SkipReason.MARKUP, len(text) - len(rejoined), sample="@-@")
    lines = (line.strip() for line in rejoined.split("\n"))
    return Document.account("\n".join(line for line in lines if line), read=surplus + len(article), left_out=left_out)


def _is_balanced(heading: re.Match[str]) -> bool:
    """Whether what looks like a heading is one; `= = a = ` closes with fewer marks than it opens: it is text."""
    return heading[1].count("=") == heading[2].count("=")
