"""Tags that are markup in a wiki's text: HTML's and those of MediaWiki's extensions; `<stdio.h>` is not one."""

from __future__ import annotations

import re

# fmt: off
_INLINE_TAGS = (
    "a", "abbr", "b", "bdi", "bdo", "big", "cite", "code", "data", "del", "dfn", "em", "font", "i", "ins", "kbd",
    "link", "mark", "nowiki", "q", "rb", "rp", "rt", "ruby", "s", "samp", "small", "span", "strike", "strong", "sub",
    "sup", "time", "tt", "u", "var", "wbr",
)
_OTHER_TAGS = (
    "blockquote", "br", "caption", "categorytree", "ce", "center", "chem", "col", "colgroup", "dd", "div", "dl", "dt",
    "dynamicpagelist", "gallery", "graph", "h[1-6]", "hiero", "hr", "imagemap", "img", "includeonly", "indicator",
    "inputbox", "labeledsectiontransclusion", "langconvert", "li", "mapframe", "maplink", "math", "meta", "noinclude",
    "ol", "onlyinclude", "p", "poem", "pre", "ref", "references", "score", "section", "seo", "source", "style",
    "syntaxhighlight", "table", "tbody", "td", "templatedata", "templatestyles", "tfoot", "th", "thead", "timeline",
    "tr", "translate", "tvar", "ul",
)
# fmt: on
INLINE_TAG = re.compile(rf"</?(?:{'|'.join(_INLINE_TAGS)})(?:\s[^<>]*)?/?>", re.IGNORECASE)
"""A tag that may be inside a word: H<sub>2</sub>O."""
OTHER_TAG = re.compile(rf"</?(?:{'|'.join(_OTHER_TAGS)})\b[^<>]*>", re.IGNORECASE)
"""A tag that parts words."""
_KNOWN_NAME = re.compile("|".join((*_INLINE_TAGS, *_OTHER_TAGS)), re.IGNORECASE)


def is_known_tag(name: str) -> bool:
    """Whether a wiki takes a tag of this name for markup; it shows others as text."""
    return _KNOWN_NAME.fullmatch(name) is not None
