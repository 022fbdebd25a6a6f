"""Documents to sentences, with the rules of a language (sentencex, Wikimedia's splitter, some 300 languages)."""

from __future__ import annotations

import re

import sentencex

# With an initial before one of these, as in "A.\u3000B", sentencex cuts a string inside of it and panics.
_WIDE_SPACES = re.compile("[\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]")
# Khmer's and Tibetan's ends of sentences, which sentencex does not know.
_OTHER_END = re.compile(r"(?<=[។៕])\s*(?=\S)|(?<=[།༎])\s+(?=\S)")


def split_sentences(text: str, *, language: str) -> list[str]:
    """Split a text into its sentences, complete and in order; a line break always ends one.

    Args:
        language: ISO 639-1 code; unknown ones get the rules that suit most.
    """
    sentences: list[str] = []
    # Line by line: the cost of sentencex grows with the square of its input's length.
    for line in text.split("\n"):
        if line:
            sentences += _segment(line, language=language)
    return sentences


def split_spaced_sentences(text: str, *, language: str) -> list[str]:
    """Split for a vocabulary that spells spaces: a sentence after whitespace begins with a space.

    Whitespace at the beginning of the text is removed.

    Args:
        language: ISO 639-1 code; unknown ones get the rules that suit most.
    """
    sentences: list[str] = []
    gap = ""
    for line in text.split("\n"):
        for sentence in _segment(line, language=language) if line else ():
            sentences.append(gap + sentence)
            # sentencex leaves the spaces between two sentences at the end of the first.
            gap = " " if sentence[-1:].isspace() else ""
        gap = " "
    for index, sentence in enumerate(sentences):
        sentences[index] = sentence.lstrip()
        if sentences[index]:
            break
    return sentences


def _segment(line: str, *, language: str) -> list[str]:
    """The sentences of a line; together they are the line."""
    if line.isascii():
        sentences: list[str] = sentencex.segment(language, line)
        return sentences
    cuts = [0]
    for sentence in sentencex.segment(language, _WIDE_SPACES.sub(" ", line)):
        cuts.append(cuts[-1] + len(sentence))
    cuts += [match.end() for match in _OTHER_END.finditer(line)]
    ordered = sorted(set(cuts))
    return [line[begin:end] for begin, end in zip(ordered, ordered[1:], strict=False)]
