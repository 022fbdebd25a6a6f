"""Wikitext to prose, with mwparserfromhell's parser.

Kept: running text, the words of links and of emphasis, a few templates that stand for words (units, languages, dashes),
list items that are sentences. Left out, and counted: tables, references, files, categories, headings, infoboxes and
every other template, comments, bare addresses. Remains of broken markup (half a table, a lone bracket) are left out
line by line.
"""

from __future__ import annotations

import gc
import html
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from bertd.data.sources.readers.document import Document
from bertd.data.sources.readers.left_out import LeftOut, SkipReason
from bertd.data.sources.readers.wiki.html_tags import is_known_tag
from bertd.data.sources.readers.wiki.wikitext_lines import BREAK, ITEM_MARK, paragraphs_of
from bertd.data.sources.readers.wiki.wikitext_literal import protect, restore, take_out_literals
from bertd.data.sources.readers.wiki.wikitext_templates import template_text
from bertd.errors import CorpusError

# fmt: off
_DROPPED_TAGS = {
    "ref": SkipReason.REFERENCE, "references": SkipReason.REFERENCE, "table": SkipReason.TABLE,
    "includeonly": SkipReason.MARKUP, "noinclude": SkipReason.MARKUP, "indicator": SkipReason.MARKUP,
}
"""Tags that the parser reads and that are left out; `wikitext_literal` has those that it must not read."""
_LINE_TAGS = frozenset(
    {
        "hr", "p", "div", "blockquote", "poem", "center", "li", "dd", "dt", "ul", "ol", "dl", "tr", "td", "th",
        "h1", "h2", "h3", "h4", "h5", "h6",
    }
)
# fmt: on
# Names of magic words have letters and vowel signs of any script.
_REDIRECT = re.compile(r"^\s*#[^\s#\[\]:]+\s*:?\s*\[\[")
_INTERLANGUAGE = re.compile(r"^[a-z]{2,3}(?:-[a-z]+)*$")

_MAX_OPEN_BRACKETS = 100
"""Brackets that may stay open on a page; 3,000 take the parser 12 s, and the time grows with their square."""

DEFAULT_DROPPED_PREFIXES = frozenset({"file", "image", "media", "category"})
"""Prefixes of links that are not text; a dump adds its own language's."""


def read_wikitext(wikitext: str, *, dropped_prefixes: frozenset[str] = DEFAULT_DROPPED_PREFIXES) -> Document:
    """The paragraphs of a page, one a line, and what was left out.

    Args:
        dropped_prefixes: lower-case prefixes of links that are not text.

    Raises:
        CorpusError: mwparserfromhell is not installed.
    """
    parse = _import_parser()
    left_out = LeftOut()
    # Styles are not parsed: unbalanced apostrophes are common, and come out as text that is easily removed.
    with _collection_paused():
        tree = parse(take_out_literals(wikitext, left_out), skip_style_tags=True)
        rendered = _Renderer(dropped_prefixes, left_out).render(tree)
    text = paragraphs_of(rendered, left_out)
    return Document.account(text, read=len(wikitext), left_out=left_out, rest=SkipReason.MARKUP)


def is_redirect(wikitext: str) -> bool:
    """Whether a page is only a redirect: #REDIRECT [[...]], in any language."""
    return _REDIRECT.match(wikitext) is not None


def has_too_many_open_brackets(wikitext: str) -> bool:
    """Whether so many brackets are open that the parser, which tries every pairing, would take minutes."""
    return any(
        wikitext.count(begin) - wikitext.count(end) > _MAX_OPEN_BRACKETS for begin, end in (("{{", "}}"), ("[[", "]]"))
    )


@contextmanager
def _collection_paused() -> Iterator[None]:
    """No search for reference cycles, of which a page's tree has none: it takes a third of the parser's time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _import_parser() -> Callable[..., Any]:
    try:
        import mwparserfromhell
    except ImportError as error:
        raise CorpusError("wiki-xml needs the package mwparserfromhell; pip install mwparserfromhell") from error
    parse: Callable[..., Any] = mwparserfromhell.parse
    return parse


def _text_nodes(tree: Any) -> list[Any]:
    """The nodes of a piece of a page that are plain text, without those inside of others."""
    return [] if tree is None else [node for node in tree.nodes if type(node).__name__ == "Text"]


class _Renderer:
    """Walks a parsed page; goes by the names of the nodes' classes, since the package has no types."""

    def __init__(self, dropped_prefixes: frozenset[str], left_out: LeftOut) -> None:
        self._dropped_prefixes = dropped_prefixes
        self._left_out = left_out

    def render(self, tree: Any) -> str:
        """The text of a piece of a page, with marks for breaks and list items; never longer than its wikitext."""
        return "" if tree is None else "".join(self._render_node(node) for node in tree.nodes)

    def _render_node(self, node: Any) -> str:
        match type(node).__name__:
            case "Text":
                return str(node.value)
            case "Wikilink":
                return self._render_link(node)
            case "ExternalLink":
                self._left_out.add(SkipReason.MARKUP, restore(str(node.url)))
                return self.render(node.title)
            case "Tag":
                return self._render_tag(node)
            case "HTMLEntity":
                # What an entity spells is text, even if it looks like markup.
                return protect(html.unescape(str(node)))
            case "Template":
                return self._render_template(node)
            case "Heading":
                return self._drop(node, SkipReason.TITLE, instead=BREAK)
            case "Argument":
                return self._drop(node, SkipReason.TEMPLATE)
            case _:
                return self._drop(node, SkipReason.MARKUP)

    def _drop(self, node: Any, reason: SkipReason, *, instead: str = "") -> str:
        self._left_out.add(reason, restore(str(node)), kept=len(instead))
        return instead

    def _render_link(self, node: Any) -> str:
        title = str(node.title)
        prefix, colon, _ = title.partition(":")
        prefix = prefix.strip().lower()
        # Only a file has more than one bar; its namespace may be an alias that the dump does not name.
        is_file = bool(colon) and any("|" in str(one) for one in _text_nodes(node.text))
        if colon and (prefix in self._dropped_prefixes or is_file):
            return self._drop(node, SkipReason.FILE)
        if node.text is not None:
            self._left_out.add(SkipReason.MARKUP, restore(title))
            return self.render(node.text)
        if colon and _INTERLANGUAGE.match(prefix):
            return self._drop(node, SkipReason.MARKUP)
        return title.strip().removeprefix(":")

    def _render_tag(self, node: Any) -> str:
        name = str(node.tag).strip().lower()
        if reason := _DROPPED_TAGS.get(name):
            return self._drop(node, reason, instead="" if name == "ref" else " ")
        if not is_known_tag(name):
            return self._render_unknown_tag(node)
        if attributes := "".join(map(str, node.attributes)):
            self._left_out.add(SkipReason.MARKUP, restore(attributes))
        content = self.render(node.contents)
        if name == "br":
            return "\n"
        if name in ("li", "dd", "dt"):
            return f"{ITEM_MARK}{content}"
        return f"{BREAK}{content}{BREAK}" if name in _LINE_TAGS else content

    def _render_unknown_tag(self, node: Any) -> str:
        """As a wiki does, show a tag that is none of its own as text."""
        whole, content = str(node), str(node.contents or "")
        opening, closing, end = whole, "", ""
        if content and not node.self_closing:
            opening, closing, end = whole.partition(content)
        return protect(opening) + (self.render(node.contents) if closing else "") + protect(end)

    def _render_template(self, node: Any) -> str:
        name = str(node.name).strip().lower().replace("_", " ")
        # The template counts as one piece, so what its words leave out is not counted again.
        words = _Renderer(self._dropped_prefixes, LeftOut())
        text = template_text(name, [words.render(one.value).strip() for one in node.params if not one.showkey])
        return self._drop(node, SkipReason.TEMPLATE, instead=text)
