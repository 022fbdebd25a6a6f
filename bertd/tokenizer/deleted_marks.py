"""Count the marks that a normalizer deletes: accents, and in many scripts the vowels.

BERT's normalizer, unless told otherwise, deletes every combining mark. In English that are a few accents; in Hindi,
Thai, Tamil or pointed Arabic it is a third of the text, and different words become one.
"""

from __future__ import annotations

import unicodedata

from tokenizers import Tokenizer

_ASCII = bytes(range(128))
MIN_MARKS_SHARE = 0.001
"""Less, for each letter, is not worth a line: English has some accents."""


def deleted_marks_text(share: float) -> str:
    """What deleted marks mean, and the remedy.

    Args:
        share: deleted marks for each letter.
    """
    return (
        f"accents: the normalizer deletes {share:.1%} as many marks (accents, vowel signs) as there are letters; "
        "`bertd data vocab --keep-accents` makes a vocabulary that keeps them"
    )


def _count_marks(text: str) -> int:
    return sum(unicodedata.category(character).startswith("M") for character in unicodedata.normalize("NFD", text))


class DeletedMarks(dict[str, int]):
    """For each character, the marks that the normalizer deletes of it, found out when it first occurs."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        super().__init__()
        self._normalizer = tokenizer.normalizer

    def __missing__(self, character: str) -> int:
        marks = _count_marks(character)
        if marks and self._normalizer is not None:
            marks = max(0, marks - _count_marks(self._normalizer.normalize_str(character)))
        else:
            marks = 0
        self[character] = marks
        return marks

    def count(self, text: str) -> int:
        """The marks of a text that are deleted, without looking at ASCII characters one by one."""
        if self._normalizer is None or text.isascii():
            return 0
        return sum(map(self.__getitem__, text.encode().translate(None, _ASCII).decode()))
