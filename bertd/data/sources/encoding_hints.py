"""What to say of a file that is not UTF-8, or is not text: the encoding that it seems to have, or what is wrong.

Nothing is read by these guesses: a person checks them and gives `--encoding`.
"""

from __future__ import annotations

import re

from bertd.data.sources.encodings import (
    HINT_BYTES,
    UTF_8,
    FileEncoding,
    count_separators,
    decode_head,
    has_controls,
    is_prose,
    is_wide,
)

_MIN_CONFIDENCE = 0.15
"""Of chardet. Measured on translations in 24 languages and 27 encodings: it was wrong below 0.14 alone, in 4 of 152
texts, all of 400 characters; of those of 4,000 characters all were right, and above 0.32."""
_FEW_BYTES = 16
"""Of so few bytes beyond ASCII chardet makes anything; most texts that have so few are of Windows."""
_WESTERN = "windows-1252"
_WESTERN_LETTERS = "à-öø-ÿœšž"
_WESTERN_CAPITALS = "À-ÖØ-ÞŒŠŽŸ"
_WESTERN_MARKS = "‘’“”„…–—•€™«»¡¿ß§°©®·½¼¾²³"
# A mark of punctuation may be anywhere; a letter beyond ASCII is in a word, and a capital begins one.
_ODD_IN_WESTERN = re.compile(
    rf"[^\x00-\x7f\xa0{_WESTERN_LETTERS}{_WESTERN_MARKS}{_WESTERN_CAPITALS}]|(?<=[a-z])[{_WESTERN_CAPITALS}]"
    r"|(?<=[a-z])[¡¿§°©®¼½¾³²·](?=[a-z])"
)
_MIN_ASCII_SHARE = 0.7
"""Of the letters of a text in windows-1252; French has 0.95, a short sentence may have less, anything Cyrillic 0."""


def describe_not_utf8(content: bytes) -> str:
    """What to do about text that is not UTF-8.

    Args:
        content: what is around a place that is not.
    """
    if _is_damaged_utf8(content):
        return "it is UTF-8 with damaged characters: repair them, for example with iconv -c -f utf-8 -t utf-8"
    return _encoding_remedy(suggest_encoding(content))


def describe_not_text(head: bytes) -> str:
    """What a file is that does not look like text, and what to do.

    Args:
        head: its beginning.
    """
    suggested = suggest_encoding(head)
    if suggested is not None:
        return f"not text, or UTF-16 without its mark, and is left out; {_encoding_remedy(suggested)}"
    without = head.replace(b"\x00", b"")
    if without and b"\x00" in head and not has_controls(without) and is_prose(without.decode("utf-8", "replace")):
        # One by one they part lines; in a row they fill what was never written.
        fix = "tr -d '\\000'" if b"\x00\x00" in head else "tr '\\000' '\\n'"
        return f"text with NUL characters in it, and is left out; take them out: {fix} < FILE > NEW"
    return f"not text, and is left out; {_encoding_remedy(None)}"


def suggest_encoding(content: bytes) -> str | None:
    """The encoding that a file which is not UTF-8 seems to have, for a person to check; None where none is likely."""
    if has_controls(content):
        return _suggest_wide(content)
    import chardet

    content = content[:HINT_BYTES]
    if sum(code >= 0x80 for code in content) <= _FEW_BYTES and _is_western(content):
        return _WESTERN
    found = chardet.detect(content)
    name = found["encoding"]
    if name is None or found["confidence"] < _MIN_CONFIDENCE or is_wide(name):
        return _WESTERN if _is_western(content) else None
    return name.lower()


def _encoding_remedy(suggested: str | None) -> str:
    if suggested is None:
        return "if it is text, name its encoding with --encoding"
    return f"it looks like {suggested}: check, and give --encoding {suggested}"


def _is_damaged_utf8(content: bytes) -> bool:
    """Whether text is UTF-8 in which some characters are damaged: more of those beyond ASCII are whole."""
    text = decode_head(content, FileEncoding(UTF_8))
    num_damaged = text.count("\udcff")
    return 0 < num_damaged < sum(not character.isascii() for character in text) - num_damaged


def _suggest_wide(content: bytes) -> str | None:
    """UTF-16 or UTF-32 without its mark: the order of bytes in which the text has spaces or line breaks."""
    candidates = []
    for name in ("utf-32-le", "utf-32-be", "utf-16-le", "utf-16-be"):
        width = 4 if "32" in name else 2
        text = content[: len(content) - len(content) % width].decode(name, "replace")
        if is_prose(text):
            candidates.append((count_separators(text), name))
    return max(candidates)[1] if candidates and max(candidates)[0] else None


def _is_western(content: bytes) -> bool:
    """Whether text is mostly ASCII, and the rest of it is what it would be in windows-1252."""
    try:
        text = content.decode(_WESTERN)
    except UnicodeDecodeError:
        return False
    letters = [character for character in text if character.isalpha()]
    num_ascii = sum(map(str.isascii, letters))
    return not _ODD_IN_WESTERN.search(text) and num_ascii > 0 and num_ascii >= _MIN_ASCII_SHARE * len(letters)
