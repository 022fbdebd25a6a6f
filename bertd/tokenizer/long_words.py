"""Count the letters of words that are too long for a WordPiece vocabulary, which makes each of them one unknown token.

A picture in base64 or a genome is half a million letters, one token, and one line in no report but this.
"""

from __future__ import annotations

import regex
from tokenizers import Tokenizer

MIN_LONG_WORDS_SHARE = 0.001
"""Less, of the characters, is not worth a line: novels have some addresses."""


def long_words_text(share: float) -> str:
    """What long words mean, and the remedy.

    Args:
        share: of the characters.
    """
    return (
        f"long words: {share:.1%} of the characters are in words that are too long for the vocabulary, such as base64, "
        "each of which becomes one unknown token; take them out of the text, or use a byte-level vocabulary"
    )


class LongWords:
    """Counts the letters and digits of words above the length that a vocabulary takes; 0 where it takes any."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        longest = getattr(tokenizer.model, "max_input_chars_per_word", None)
        # BERT's splitter makes a word of each punctuation mark and of each Chinese character.
        self._pattern = (
            None
            if longest is None
            else regex.compile(rf"[[\p{{L}}\p{{M}}\p{{N}}]--\p{{Han}}]{{{longest + 1},}}", regex.V1)
        )

    def count(self, text: str) -> int:
        """Characters of the long words of a text."""
        return 0 if self._pattern is None else sum(map(len, self._pattern.findall(text)))
