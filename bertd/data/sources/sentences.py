"""Documents to sentences, with the rules of a language (sentencex, Wikimedia's splitter, some 300 languages)."""

from __future__ import annotations

import sentencex


def split_sentences(text: str, *, language: str) -> list[str]:
    """Split a text into its sentences, complete and in order; a line break always ends one.

    Args:
        language: ISO 639-1 code; unknown ones get the rules that suit most.
    """
    sentences: list[str] = []
    # Line by line: the cost of sentencex grows with the square of its input's length.
    for line in text.split("\n"):
        if line:
            sentences += sentencex.segment(language, line)
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
        for sentence in sentencex.segment(language, line) if line else ():
            sentences.append(gap + sentence)
            # sentencex leaves the spaces between two sentences at the end of the first.
            gap = " " if sentence[-1:].isspace() else ""
        gap = " "
    for index, sentence in enumerate(sentences):
        sentences[index] = sentence.lstrip()
        if sentences[index]:
            break
    return sentences
