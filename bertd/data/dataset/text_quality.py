"""How good a data set's text is, source by source: the file quality.json beside the manifest.

Everything is counted over the documents that are kept, from their tokens and letters. A high share of unknown tokens
or many tokens a word mean that the vocabulary does not fit the text; few ASCII letters, another script; very short
documents or very long sentences, that the source was cut in the wrong places.
"""

from __future__ import annotations

import json
from pathlib import Path

from bertd.data.dataset.manifest import FrozenModel
from bertd.errors import ShardError

QUALITY_FILE = "quality.json"

SUMMED_COLUMNS = ("characters", "letters", "ascii_letters", "words", "unknown")
"""Of a part's file: what is summed over documents."""


class SourceQuality(FrozenModel):
    """One source's kept documents."""

    characters: int
    letters: int
    ascii_letters: int
    words: int
    """As the vocabulary parts them: tokens that do not go on a word. A WordPiece one counts punctuation marks, too."""
    tokens: int
    unknown: int
    """Tokens that the vocabulary has no piece for."""
    document_tokens: tuple[int, int, int] | None
    """About the lengths that 5, 50 and 95 of 100 documents stay below; None where there is no document."""
    sentence_tokens: tuple[int, int, int] | None
    """The same of sentences."""

    @property
    def tokens_per_word(self) -> float:
        return self.tokens / max(1, self.words)

    @property
    def unknown_share(self) -> float:
        """Of tokens."""
        return self.unknown / max(1, self.tokens)

    @property
    def ascii_share(self) -> float:
        """Of letters."""
        return self.ascii_letters / self.letters if self.letters else 1.0

    def summary_line(self) -> str:
        """The whole on one line, for people."""
        shares = (
            f"{self.tokens_per_word:.2f} tokens a word, {self.unknown_share:.3%} unknown, "
            f"{self.ascii_share:.1%} of letters ASCII"
        )
        if self.document_tokens is None or self.sentence_tokens is None:
            return shares
        low, median, high = self.document_tokens
        _, sentence, long_sentence = self.sentence_tokens
        return (
            f"{shares}; documents of {median:,} tokens, 9 of 10 within {low:,} to {high:,}; sentences of "
            f"{sentence:,}, 19 of 20 up to {long_sentence:,}"
        )


class Quality(FrozenModel):
    """Content of quality.json."""

    sources: list[SourceQuality]
    """In the order of the manifest's."""


def read_quality(root: Path) -> Quality | None:
    """The report of the data set in `root`; None for one that was made before there were any.

    Raises:
        ShardError: it cannot be read, or is none.
    """
    path = root / QUALITY_FILE
    if not path.exists():
        return None
    try:
        return Quality.model_validate(json.loads(path.read_bytes()))
    except (OSError, ValueError) as error:
        raise ShardError(f"{path}: no quality report: {error}; prepare the data set again") from error
