"""The few templates of wikitext that stand for words: units, languages, dashes, quotations."""

from __future__ import annotations

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
