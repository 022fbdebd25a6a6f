"""Wikitext to prose, with mwparserfromhell's parser.

Kept: running text, the words of links and of emphasis, a few templates that stand for words (units, languages, dashes),
list items that are sentences. Dropped: tables, references, files, categories, headings, infoboxes and every other
template, comments, bare addresses. Remains of broken markup (half a table, a lone bracket) are dropped line by line.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator
from typing import Any

from bertd.errors import CorpusError

# fmt: off
_DROPPED_TAGS = frozenset(
    {
        "ref", "references", "gallery", "table", "timeline", "math", "chem", "ce", "score", "syntaxhighlight", "source",
        "pre", "templatestyles", "imagemap", "graph", "hiero", "mapframe", "maplink", "section", "inputbox",
        "categorytree", "includeonly", "noinclude", "style", "script", "templatedata", "indicator",
    }
)
_LINE_TAGS = frozenset(
    {
        "hr", "p", "div", "blockquote", "poem", "center", "li", "dd", "dt", "ul", "ol", "dl", "tr", "td", "th",
        "h1", "h2", "h3", "h4", "h5", "h6",
    }
)
# fmt: on
_BREAK = "\n\n"
"""Ends a paragraph; a single line break is a space, as on the rendered page."""
_ITEM_MARK = "\x01"
"""Opens a line that was a list item."""

_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
# Removed before parsing, which takes most of the time: references may be half of an article.
_REFERENCE = re.compile(r"<ref\b[^<>]*/>|<ref\b[^<>/]*>.*?</ref\s*>", re.DOTALL | re.IGNORECASE)
_REDIRECT = re.compile(r"^\s*#\w+\s*:?\s*\[\[", re.IGNORECASE)
_INTERLANGUAGE = re.compile(r"^[a-z]{2,3}(?:-[a-z]+)*$")
_MAGIC_WORD = re.compile(r"__[A-Z]+__")
_QUOTES = re.compile("'{2,}")
_SPACES = re.compile(r"[ \t\u00a0\u2002-\u200a\u202f\u3000]+")
_EMPTY_BRACKETS = re.compile(r"\(\s*(?:[,;:/–-]\s*)*\)|\[\s*\]")
_BRACKET_BEGIN = re.compile(r"\([\s,;]+")
_BRACKET_END = re.compile(r"[\s,;]+\)")
_COMMAS = re.compile(r",(?:\s*,)+")
_SPACE_BEFORE = re.compile(r" +([,.;:!?)](?:\s|$))")
_LEFTOVERS = re.compile(r"\[\[|\]\]|\{\{|\}\}|\{\||\|\}")
_TABLE_LINE = re.compile(r"^\s*(?:\{\||\|\}|\||!)|px\s*\|")
_URL = re.compile(r"\[?(?:https?|ftp)://\S+\]?")
_LEFTOVER_TAG = re.compile(r"</?[a-zA-Z][^<>\n]*>")
_SENTENCE_END = re.compile(r"[.!?][\"'”’)]*$")
_MIN_ITEM_WORDS = 6
_MIN_UNTERMINATED_WORDS = 4
"""Fewer words without a full stop are a caption or the rest of a table, not prose."""

_MAX_OPEN_BRACKETS = 100
"""Brackets that may stay open on a page; 3,000 take the parser 12 s, and the time grows with their square."""

DEFAULT_DROPPED_PREFIXES = frozenset({"file", "image", "media", "category"})
"""Prefixes of links that are not text; a dump adds its own language's."""


def wikitext_to_prose(wikitext: str, *, dropped_prefixes: frozenset[str] = DEFAULT_DROPPED_PREFIXES) -> str:
    """The paragraphs of a page, one a line.

    Args:
        dropped_prefixes: lower-case prefixes of links that are not text.

    Raises:
        CorpusError: mwparserfromhell is not installed.
    """
    parse = _import_parser()
    # Styles are not parsed: unbalanced apostrophes are common, and come out as text that is easily removed.
    tree = parse(_REFERENCE.sub("", _COMMENT.sub("", wikitext)), skip_style_tags=True)
    text = _Renderer(dropped_prefixes).render(tree)
    cleaned = (_clean_paragraph(paragraph) for paragraph in _join_paragraphs(text))
    return "\n".join(paragraph for paragraph in cleaned if paragraph)


def is_redirect(wikitext: str) -> bool:
    """Whether a page is only a redirect: #REDIRECT [[...]], in any language."""
    return _REDIRECT.match(wikitext) is not None


def has_too_many_open_brackets(wikitext: str) -> bool:
    """Whether so many brackets are open that the parser, which tries every pairing, would take minutes."""
    return any(
        wikitext.count(begin) - wikitext.count(end) > _MAX_OPEN_BRACKETS for begin, end in (("{{", "}}"), ("[[", "]]"))
    )


def _import_parser() -> Callable[..., Any]:
    try:
        import mwparserfromhell
    except ImportError as error:
        raise CorpusError("wiki-xml needs the package mwparserfromhell; pip install mwparserfromhell") from error
    parse: Callable[..., Any] = mwparserfromhell.parse
    return parse


class _Renderer:
    """Walks a parsed page; goes by the names of the nodes' classes, since the package has no types."""

    def __init__(self, dropped_prefixes: frozenset[str]) -> None:
        self._dropped_prefixes = dropped_prefixes

    def render(self, tree: Any) -> str:
        """The text of a piece of a page, with line breaks and marked list items."""
        return "" if tree is None else "".join(self._render_node(node) for node in tree.nodes)

    def _render_node(self, node: Any) -> str:
        match type(node).__name__:
            case "Text":
                return str(node.value)
            case "Wikilink":
                return self._render_link(node)
            case "ExternalLink":
                return self.render(node.title)
            case "Tag":
                return self._render_tag(node)
            case "HTMLEntity":
                return html.unescape(str(node))
            case "Template":
                return self._render_template(node)
            case "Heading":
                return _BREAK
            case _:
                return ""

    def _render_link(self, node: Any) -> str:
        title = str(node.title).strip()
        prefix, colon, _ = title.partition(":")
        prefix = prefix.strip().lower()
        if colon and prefix in self._dropped_prefixes:
            return ""
        if node.text is not None:
            return self.render(node.text)
        if colon and _INTERLANGUAGE.match(prefix):
            return ""
        return title.removeprefix(":")

    def _render_tag(self, node: Any) -> str:
        name = str(node.tag).strip().lower()
        if name in _DROPPED_TAGS:
            return "" if name == "ref" else " "
        content = self.render(node.contents)
        if name == "br":
            return "\n"
        if name in ("li", "dd", "dt"):
            return f"{_BREAK}{_ITEM_MARK}{content}"
        return f"{_BREAK}{content}{_BREAK}" if name in _LINE_TAGS else content

    def _render_template(self, node: Any) -> str:
        name = str(node.name).strip().lower().replace("_", " ")
        words = [self.render(one.value).strip() for one in node.params if not one.showkey]
        return template_text(name, words)


# fmt: off
_FIRST_WORD_TEMPLATES = frozenset(
    {
        "nowrap", "nobr", "small", "smaller", "big", "abbr", "quote", "blockquote", "cquote", "tq", "em", "strong",
        "italics", "nihongo", "tooltip", "hlist", "as-of", "ipalink",
    }
)
# fmt: on
_LAST_WORD_TEMPLATES = frozenset(["lang", "transl", "transliteration", "translit"])
_FIXED_TEMPLATES = {
    "ndash": "–",
    "spaced ndash": " – ",
    "snd": " – ",
    "spnd": " – ",
    "mdash": "—",
    "nbsp": " ",
    "space": " ",
    "'": "'",
    "'s": "'s",
    "\"'": "\"'",
    "'\"": "'\"",
    "!": "|",
    "=": "=",
}
_UNIT_JOINERS = {"to", "and", "by", "x", "or", "-", "–", "to(-)", "and(-)", "+/-", "±"}


def template_text(name: str, words: list[str]) -> str:
    """The text of a template, for the few that stand for words; empty for all others.

    Args:
        name: lower case.
        words: its unnamed parameters.
    """
    if name in _FIXED_TEMPLATES:
        return _FIXED_TEMPLATES[name]
    if name in ("convert", "cvt") and len(words) >= 2:
        return _format_measure(words)
    if name in ("circa", "c."):
        return f"c. {words[0]}" if words else "c."
    if name == "as of" and words:
        return f"as of {' '.join(words)}"
    if name == "frac" and len(words) == 2:
        return f"{words[0]}/{words[1]}"
    if name in _LAST_WORD_TEMPLATES and len(words) >= 2:
        return words[-1]
    if (name in _FIRST_WORD_TEMPLATES or name.startswith(("lang-", "langx"))) and words:
        return words[1] if name == "langx" and len(words) > 1 else words[0]
    return ""


def _format_measure(words: list[str]) -> str:
    """`5|km|mi` is "5 km", `5|to|10|km|mi` is "5 to 10 km"."""
    amount = [words[0]]
    rest = words[1:]
    while len(rest) >= 2 and rest[0].lower() in _UNIT_JOINERS:
        amount += rest[:2]
        rest = rest[2:]
    return " ".join([*amount, *rest[:1]])


def _join_paragraphs(text: str) -> Iterator[str]:
    """Join the lines of each paragraph; a list item stays a separate line."""
    paragraph_lines: list[str] = []
    for line in [*text.split("\n"), ""]:
        is_table = _TABLE_LINE.search(line) is not None
        if paragraph_lines and (
            is_table or not line.strip() or paragraph_lines[0].startswith(_ITEM_MARK) or line.startswith(_ITEM_MARK)
        ):
            yield " ".join(paragraph_lines)
            paragraph_lines = []
        if line.strip() and not is_table:
            paragraph_lines.append(line)


def _clean_paragraph(line: str) -> str:
    """A paragraph without remains of markup; empty if no prose is left."""
    is_item = line.startswith(_ITEM_MARK)
    line = line.lstrip(f"{_ITEM_MARK}*#:; ") if is_item else line
    line = html.unescape(_MAGIC_WORD.sub("", _QUOTES.sub("", line)))
    line = _LEFTOVERS.sub("", _LEFTOVER_TAG.sub("", _URL.sub("", line)))
    line = _SPACES.sub(" ", line)
    line = _BRACKET_END.sub(")", _BRACKET_BEGIN.sub("(", _EMPTY_BRACKETS.sub("", line)))
    line = _COMMAS.sub(",", line)
    line = _SPACE_BEFORE.sub(r"\1", _SPACES.sub(" ", line)).strip()
    num_words = len(line.split())
    if _SENTENCE_END.search(line):
        return line if num_words >= (_MIN_ITEM_WORDS if is_item else 1) and any(map(str.isalpha, line)) else ""
    return line if num_words >= _MIN_UNTERMINATED_WORDS and not is_item else ""
