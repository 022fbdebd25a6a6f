"""What is prose and how its lines are joined, in any script.

Nothing here goes by a language: Unicode's properties say what ends a sentence, which scripts put no space between
words, and how wide a character is. Where a script marks no end of a sentence, as Thai does not, length alone decides.
"""

from __future__ import annotations

from unicodedata import east_asian_width

import regex

# Closing marks and spaces may follow the end: each language has its own quotes, and some close with what others open.
_CLOSING = r"[\p{Pe}\p{Pf}\p{Pi}\"'\p{M}\s]*$"
_ASCII_CLOSING = ")]}\"' \t\n\r\x0b\x0c"
# Unicode counts commas and colons as terminal punctuation, and leaves some scripts' only mark out of Sentence_Terminal,
# such as Tibetan's shad. A Greek question mark is typed as a semicolon, an Armenian full stop as a colon, a danda as |.
_SENTENCE_END = regex.compile(
    rf"""(?:
        [\p{{Sentence_Terminal}}…‥⋯។-៖៚\u05c3\u0e5a\u0e5b\u0f08\u0f0d-\u0f12\u1805\u1b5d\u1c3d-\u1c3f\ua9c7]
        | (?<=\p{{Script=Greek}}\p{{M}}*[\p{{Pe}}\p{{Pf}}"']?)[;\u037e]
        | (?<=\p{{Script=Armenian}}\p{{M}}*[\p{{Pe}}\p{{Pf}}"']?):
        | (?<=[\u0900-\u0dff]\ ?)\|{{1,2}}
    ){_CLOSING}""",
    regex.VERBOSE,
)
_WORD_SEPARATORS = regex.compile(r"[\s\u0f0b\u0f0c\u1361\u1680]+")
"""Besides spaces, the marks between words or syllables of Tibetan, Ethiopic and Ogham."""
_IDEOGRAPHS = regex.compile(r"[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Yi}]")
_COMPLEX_CONTEXT = regex.compile(r"\p{Line_Break=Complex_Context}")
"""Letters and marks of scripts without spaces between words, such as Thai, Lao, Khmer and Burmese."""
_LETTER = regex.compile(r"\p{L}")
_IDEOGRAPHS_A_WORD = 2
_COMPLEX_CHARACTERS_A_WORD = 4

_MIN_ITEM_WORDS = 6
_MIN_UNENDED_WORDS = 4
"""Fewer words without the end of a sentence are a caption or the rest of a table, not prose."""


def ends_sentence(line: str) -> bool:
    """Whether a line ends with the mark that ends a sentence in its script."""
    if line.isascii():
        return line.rstrip(_ASCII_CLOSING).endswith((".", "!", "?"))
    return _SENTENCE_END.search(line[-40:]) is not None


def count_words(line: str) -> int:
    """Words of a line; estimated from the characters where the script puts nothing between words."""
    if line.isascii():
        return len(line.split())
    words = [word for word in _WORD_SEPARATORS.split(line) if word]
    ideographs, complex_characters = len(_IDEOGRAPHS.findall(line)), len(_COMPLEX_CONTEXT.findall(line))
    if not ideographs and not complex_characters:
        return len(words)
    spaced = sum(not _IDEOGRAPHS.search(word) and not _COMPLEX_CONTEXT.search(word) for word in words)
    return spaced + ideographs // _IDEOGRAPHS_A_WORD + complex_characters // _COMPLEX_CHARACTERS_A_WORD


def is_prose(line: str, *, is_item: bool = False) -> bool:
    """Whether a line is a sentence or a part of one, rather than a caption, a name or the rest of a table.

    Args:
        is_item: the line is an item of a list, of which most are no sentences.
    """
    if not _LETTER.search(line):
        return False
    if ends_sentence(line):
        return not is_item or count_words(line) >= _MIN_ITEM_WORDS
    if is_item:
        return _is_mostly_complex(line) and count_words(line) >= _MIN_ITEM_WORDS
    return count_words(line) >= _MIN_UNENDED_WORDS


def _is_mostly_complex(line: str) -> bool:
    """Whether most of a line is of the scripts that mark neither words nor, as Thai and Lao, sentences."""
    return not line.isascii() and 2 * len(_COMPLEX_CONTEXT.findall(line)) > len(line)


def is_wide(character: str) -> bool:
    """Whether a character takes two columns, as those of East Asian scripts do."""
    return east_asian_width(character) in "WF"


def display_width(line: str) -> int:
    """Columns that a line takes."""
    return len(line) if line.isascii() else len(line) + sum(map(is_wide, line))


def join_lines(lines: list[str]) -> str:
    """Join lines with spaces, except between East Asian characters, which have none."""
    joined = lines[0]
    for line in lines[1:]:
        joined += line if joined and line and is_wide(joined[-1]) and is_wide(line[0]) else f" {line}"
    return joined
