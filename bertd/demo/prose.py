"""Extract paragraphs of English prose from docstrings, and sentences from paragraphs.

A docstring is prose mixed with doctests, tables, headings, argument lists and markup. Its lines are joined into blocks
by their indentation, markup is removed, and only blocks that look like sentences are kept. Losing some prose does not
matter; what is kept must be good training text.
"""

from __future__ import annotations

import inspect
import re

_BULLET = re.compile(r"(?:[-*+•]|\(?\d{1,2}[.)])\s+")
_FIELD = re.compile(r":\w+(?:\s[^:]*)?:\s*|\.\.\s[\w-]+::\s*|[`*]{0,2}[\w.*/]+[`]{0,2}(?:\s?\([^)]*\))?:\s+")
"""`:param x:`, `.. note::`, `x (int):`, `Returns:`; the text after it is kept."""
_TYPE_LINE = re.compile(r"[`*]{0,2}[\w.*]+[`]{0,2}(?:,\s?[`*]{0,2}[\w.*]+[`]{0,2})*\s:(?:\s.*)?$")
"""`axis : int, optional`: an argument's first line in NumPy style, which has no prose."""
_RULE = re.compile(r"([=\-~^\"'*+#_.])\1{2,}$|\+[-=+]+\+$|(?:[=-]+\s+)+[=-]+$")
"""Underlines of headings and borders of tables."""
_CODE_LINE = re.compile(r"(?:>>>|\.\.\.|In \[\d+\]|Out\[\d+\]|\$ |\|)")
_ROLE = re.compile(r":(?:[a-z]+:)?[a-z]+:`~?([^`<]*?)(?:\s*<[^`>]*>)?`")
_LINK = re.compile(r"`([^`<]+?)\s*<[^`>]*>`_{0,2}|\[([^\]]+)\]\([^)\s]+\)|\[`?([\w.~!]+)`?\]")
_MARKS = re.compile(r"(?<![\w*`])[*`]{1,3}(?=\S)|(?<=\S)[*`]{1,3}_{0,2}(?!\w)")
_SPACES = re.compile(r"\s+")
_SENTENCE_END = re.compile(r"(?<=[a-z)\"'][.!?])\s+(?=[A-Z])")
_ABBREVIATION = re.compile(r"(?:\b(?:e\.g|i\.e|etc|cf|vs|resp|al|Fig|Eq|Sec|Dr|No|approx)|\b[A-Za-z])\.$")
_UNCOMMON_CHARACTER = re.compile(r"[^A-Za-z ,.;:'\"()!?-]")

_MIN_WORDS = 5
_MIN_WORD_SHARE = 0.6
"""Least share of words in a kept block that have only letters."""
_MAX_UNCOMMON_SHARE = 0.06
"""Largest share of characters in a kept block other than letters, spaces and common punctuation."""


def paragraphs(docstring: str) -> list[str]:
    """The blocks of a docstring that are prose, one line each."""
    blocks = (_strip_markup(block) for block in _split_blocks(inspect.cleandoc(docstring).split("\n")))
    return [text for text in blocks if _is_prose(text)]


def sentences(paragraph: str) -> list[str]:
    """A paragraph's sentences; the dot of an abbreviation does not end one."""
    pieces: list[str] = []
    for piece in _SENTENCE_END.split(paragraph):
        if pieces and _ABBREVIATION.search(pieces[-1]):
            pieces[-1] += f" {piece}"
        else:
            pieces.append(piece)
    return pieces


def _split_blocks(lines: list[str]) -> list[str]:
    """Join lines into blocks; a blank line, list item, rule or less indented line starts a new block."""
    blocks: list[str] = []
    current: list[str] = []
    indent = 0
    for line in lines:
        text = line.strip()
        depth = len(line) - len(line.lstrip())
        if _RULE.match(text):
            # The line above it was a heading.
            current = []
            continue
        if _CODE_LINE.match(text) or _TYPE_LINE.match(text):
            text = ""
        rest = _strip_list_marker(text)
        is_item = rest != text
        if not text or is_item or depth < indent:
            blocks.append(" ".join(current))
            current = []
        if rest:
            current.append(rest)
            # The rest of a list item is indented more than its first line; a less indented line ends the item.
            indent = depth + 1 if is_item else depth
    blocks.append(" ".join(current))
    return blocks


def _strip_list_marker(text: str) -> str:
    """The text after a bullet and a field name."""
    for head in (_BULLET, _FIELD, _FIELD):
        if match := head.match(text):
            text = text[match.end() :]
    return text


def _strip_markup(block: str) -> str:
    text = _ROLE.sub(r"\1", block)
    text = _LINK.sub(lambda match: next(group for group in match.groups() if group is not None), text)
    text = _MARKS.sub("", text)
    text = _SPACES.sub(" ", text).strip()
    return f"{text[:-2]}." if text.endswith("::") else text


def _is_prose(text: str) -> bool:
    """Whether the text starts with a capital, ends like a sentence, and consists mostly of words."""
    if not text.isascii() or not text[:1].isupper() or text[-1:] not in (".", "!", "?"):
        return False
    words = [word.strip(",.;:'\"()!?") for word in text.split()]
    if len(words) < _MIN_WORDS or sum(map(_is_word, words)) < _MIN_WORD_SHARE * len(words):
        return False
    return len(_UNCOMMON_CHARACTER.findall(text)) <= _MAX_UNCOMMON_SHARE * len(text)


def _is_word(text: str) -> bool:
    return text.replace("-", "").replace("'", "").isalpha()
