"""Tags of wikitext whose content is not wikitext: nowiki, references, formulas, comments.

As in MediaWiki, the first of them that opens wins: `<nowiki><ref></nowiki>` opens no reference, and a `<nowiki>` in a
reference ends with it. They are taken out before the page is parsed, since references may be half of an article. What
nowiki holds stays text: its characters that would be markup are exchanged for private ones until the page is rendered.
"""

from __future__ import annotations

import re

from bertd.data.sources.readers.left_out import LeftOut, SkipReason

_REASONS = {
    "ref": SkipReason.REFERENCE,
    "gallery": SkipReason.FILE,
    "imagemap": SkipReason.FILE,
    "mapframe": SkipReason.FILE,
    "maplink": SkipReason.FILE,
    "inputbox": SkipReason.MARKUP,
    "categorytree": SkipReason.MARKUP,
    "templatestyles": SkipReason.MARKUP,
    "section": SkipReason.MARKUP,
    **dict.fromkeys(
        ("math", "chem", "ce", "score", "timeline", "graph", "hiero", "syntaxhighlight", "source", "pre"),
        SkipReason.FORMULA,
    ),
    **dict.fromkeys(("templatedata", "style", "script"), SkipReason.FORMULA),
}
"""Tags that are left out with their content."""
_OPENING = re.compile(rf"<!--|<(?P<name>nowiki|{'|'.join(_REASONS)})(?:\s[^<>]*?)?(?P<is_empty>/)?>", re.IGNORECASE)
_COMMENT_END = "-->"

_MARKUP_CHARACTERS = "<>[]{}|'&=*#:;!_~-/"
_PRIVATE = 0x10F000
_PROTECT = {ord(character): chr(_PRIVATE + ord(character)) for character in _MARKUP_CHARACTERS}
_NOWIKI_MARK = "\x03"
"""Stands where nowiki was, so that what follows it is not at the begin of a line."""
_RESTORE: dict[int, str | None] = {ord(_NOWIKI_MARK): None} | {
    ord(private): chr(plain) for plain, private in _PROTECT.items()
}


def protect(text: str) -> str:
    """Text whose characters are no markup to the parser or to the clean-up; of the same length."""
    return text.translate(_PROTECT)


def restore(text: str) -> str:
    """Undo `protect`."""
    return text if text.isascii() and _NOWIKI_MARK not in text else text.translate(_RESTORE)


def take_out_literals(wikitext: str, left_out: LeftOut) -> str:
    """Wikitext without comments, references and formulas, and with the content of nowiki protected."""
    pieces: list[str] = []
    unclosed: set[str] = set()
    copied = position = 0
    while match := _OPENING.search(wikitext, position):
        name = (match["name"] or "").lower()
        end = _find_content_end(wikitext, match, name=name, unclosed=unclosed)
        position = match.end()
        if end is None:
            # As MediaWiki does, take a tag that is never closed for text.
            continue
        content_end, element_end = end
        pieces.append(wikitext[copied : match.start()])
        if name == "nowiki":
            pieces.append(_NOWIKI_MARK + protect(wikitext[match.end() : content_end]))
        else:
            keeps_space = name not in ("", "ref")
            pieces.append(" " if keeps_space else "")
            reason = _REASONS[name] if name else SkipReason.COMMENT
            left_out.add(reason, wikitext[match.start() : element_end], kept=len(pieces[-1]))
        copied = position = element_end
    return "".join([*pieces, wikitext[copied:]])


def _find_content_end(wikitext: str, match: re.Match[str], *, name: str, unclosed: set[str]) -> tuple[int, int] | None:
    """Where the content of a tag ends, and where the element does; None if it is never closed."""
    if not name:
        found = wikitext.find(_COMMENT_END, match.end())
        return (len(wikitext), len(wikitext)) if found < 0 else (found, found + len(_COMMENT_END))
    if match["is_empty"]:
        return match.end(), match.end()
    if name in unclosed:
        return None
    closing = re.compile(rf"</{name}\s*>", re.IGNORECASE).search(wikitext, match.end())
    if closing is None:
        unclosed.add(name)
        return None
    return closing.span()
