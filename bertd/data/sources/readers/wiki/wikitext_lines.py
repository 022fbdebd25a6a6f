"""The lines of a rendered page to paragraphs of prose, without the remains of broken markup."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator

from bertd.data.sources.readers.left_out import LeftOut, SkipReason
from bertd.data.sources.readers.prose import is_prose, join_lines
from bertd.data.sources.readers.wiki.html_tags import INLINE_TAG, OTHER_TAG
from bertd.data.sources.readers.wiki.wikitext_literal import restore

# One character each: nothing that is rendered may be longer than the markup it stands for.
BREAK = "\x02"
"""Ends a paragraph; a single line break is a space, as on the rendered page."""
ITEM_MARK = "\x01"
"""Opens a line that was a list item."""

_MAGIC_WORD = re.compile(r"__[^\Wa-z]+?__")
_QUOTES = re.compile("'{2,}")
_SPACES = re.compile(r"[ \t\u00a0\u2002-\u200a\u202f\u3000]{2,}|[\t\u00a0\u2002-\u200a\u202f\u3000]")
"""All but a single plain one, which is most of them and stays."""
_EMPTY_BRACKETS = re.compile(r"[(（]\s*(?:[,;:/–、，；：،؛-]\s*)*[)）]|\[\s*\]")
_BRACKET_BEGIN = re.compile(r"([(（])[\s,;、，；،؛]+")
_BRACKET_END = re.compile(r"[\s,;、，；،؛]+([)）])")
_COMMAS = re.compile(r"([,、，،])(?:\s*\1)+")
_SPACE_BEFORE = re.compile(r" +([,.;:!?)](?:\s|$))")
_LEFTOVERS = re.compile(r"\[\[|\]\]|\{\{|\}\}|\{\||\|\}")
_TABLE_LINE = re.compile(r"^\s*(?:\{\||\|\}|\||!)|px\s*\|")
_URL = re.compile(r"\[?(?:https?|ftp)://\S+\]?")


def paragraphs_of(rendered: str, left_out: LeftOut) -> str:
    """The paragraphs of a rendered page that are prose, one a line."""
    text = rendered.replace(ITEM_MARK, f"\n\n{ITEM_MARK}").replace(BREAK, "\n\n")
    cleaned = (_clean_paragraph(paragraph, left_out) for paragraph in _join_paragraphs(text, left_out))
    return "\n".join(paragraph for paragraph in cleaned if paragraph)


def _join_paragraphs(text: str, left_out: LeftOut) -> Iterator[str]:
    """Join the lines of each paragraph; a list item stays a separate line."""
    paragraph_lines: list[str] = []
    for line in [*text.split("\n"), ""]:
        is_table = _TABLE_LINE.search(line) is not None
        if paragraph_lines and (is_table or not line.strip() or paragraph_lines[0].startswith(ITEM_MARK)):
            yield join_lines(paragraph_lines)
            paragraph_lines = []
        if is_table:
            left_out.add(SkipReason.TABLE, restore(line.lstrip(ITEM_MARK)))
        elif line.strip():
            paragraph_lines.append(line)


def _clean_paragraph(line: str, left_out: LeftOut) -> str:
    """A paragraph without remains of markup; empty if it is not prose."""
    is_item = line.startswith(ITEM_MARK)
    line = line.lstrip(f"{ITEM_MARK}*#:; ") if is_item else line
    line = html.unescape(_MAGIC_WORD.sub("", _QUOTES.sub("", line)))
    # A search for a character is far cheaper than one for a pattern; most lines have none of these.
    if "://" in line:
        line = _cut(_URL, line, left_out)
    if "<" in line:
        line = _cut(OTHER_TAG, _cut(INLINE_TAG, line, left_out), left_out)
    line = _SPACES.sub(" ", _LEFTOVERS.sub("", line))
    if any(map(line.__contains__, "()（）[")):
        line = _BRACKET_END.sub(r"\1", _BRACKET_BEGIN.sub(r"\1", _EMPTY_BRACKETS.sub("", line)))
    line = _COMMAS.sub(r"\1", line)
    line = restore(_SPACE_BEFORE.sub(r"\1", _SPACES.sub(" ", line)).strip())
    if is_prose(line, is_item=is_item):
        return line
    left_out.add(SkipReason.LIST_ITEM if is_item else SkipReason.FRAGMENT, line)
    return ""


def _cut(pattern: re.Pattern[str], line: str, left_out: LeftOut) -> str:
    """Remove what a pattern matches, and record it as markup."""

    def record(match: re.Match[str]) -> str:
        left_out.add(SkipReason.MARKUP, match[0])
        return ""

    return pattern.sub(record, line)
