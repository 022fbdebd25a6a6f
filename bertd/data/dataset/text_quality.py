"""How good a data set's text is, source by source: the file quality.json beside the manifest.

Everything is counted over the documents that are kept, from their tokens and letters. A high share of unknown tokens
or many tokens a word mean that the vocabulary does not fit the text; few ASCII letters, another script; many deleted
marks, that the text is not what was written; very short documents or very long sentences, that the source was cut in
the wrong places.
"""

from __future__ import annotations

import json
from pathlib import Path

from bertd.errors import ShardError
from bertd.run.amounts.quantities import format_count
from bertd.run.dataset_manifest import FrozenModel
from bertd.tokenizer.deleted_marks import MIN_MARKS_SHARE, deleted_marks_text
from bertd.tokenizer.long_words import MIN_LONG_WORDS_SHARE, long_words_text

QUALITY_FILE = "quality.json"

_MAX_UNKNOWN_SHARE = 0.05
"""Of the tokens; a text in the languages that a vocabulary is made of has far less than a hundredth."""
SUMMED_COLUMNS = ("characters", "letters", "ascii_letters", "words", "unknown", "deleted_marks", "long_word_characters")
"""Arrays of a part's file that are summed over documents."""


class SourceQuality(FrozenModel):
    """One source's kept documents."""

    characters: int
    letters: int
    ascii_letters: int
    words: int
    """Tokens that do not continue a word. A WordPiece vocabulary counts punctuation marks, too."""
    tokens: int
    unknown: int
    """Tokens that the vocabulary has no piece for."""
    document_tokens: tuple[int, int, int] | None
    """Approximate 5th, 50th and 95th percentiles of the lengths; None where there is no document."""
    sentence_tokens: tuple[int, int, int] | None
    """The same for sentences."""
    deleted_marks: int | None = None
    """Accents, vowel signs and other marks that the normalizer deletes; None in an older report."""
    long_word_characters: int | None = None
    """Of words that are longer than the vocabulary takes; None in an older report."""

    @property
    def deleted_marks_share(self) -> float:
        """For each letter."""
        return (self.deleted_marks or 0) / max(1, self.letters)

    @property
    def tokens_per_word(self) -> float:
        return self.tokens / max(1, self.words)

    @property
    def unknown_share(self) -> float:
        """Share of the tokens."""
        return self.unknown / max(1, self.tokens)

    @property
    def ascii_share(self) -> float:
        """Share of the letters; 1 for a text without letters."""
        return self.ascii_letters / self.letters if self.letters else 1.0

    def remarks(self) -> list[str]:
        """What the numbers mean, where something is to be said, one line each."""
        lines = []
        if self.unknown_share > _MAX_UNKNOWN_SHARE:
            lines.append(
                f"vocabulary: it has no pieces for {self.unknown_share:.1%} of the tokens, which all become the same "
                "unknown token; `bertd data vocab` makes a vocabulary of this text"
            )
        long_words_share = (self.long_word_characters or 0) / max(1, self.characters)
        if long_words_share >= MIN_LONG_WORDS_SHARE:
            lines.append(long_words_text(long_words_share))
        share = self.deleted_marks_share
        return [*lines, deleted_marks_text(share)] if share >= MIN_MARKS_SHARE else lines

    def summary_line(self) -> str:
        """All values on one line, as text."""
        shares = (
            f"{self.tokens_per_word:.2f} tokens a word, {self.unknown_share:.3%} unknown, "
            f"{self.ascii_share:.1%} of letters ASCII"
        )
        if self.document_tokens is None or self.sentence_tokens is None:
            return shares
        low, median, high = self.document_tokens
        _, sentence, long_sentence = self.sentence_tokens
        return (
            f"{shares}; documents of {format_count(median, 'token')}, 9 of 10 within {low:,} to {high:,}; sentences of "
            f"{sentence:,}, 19 of 20 up to {long_sentence:,}"
        )


class Quality(FrozenModel):
    """Content of quality.json."""

    sources: list[SourceQuality]
    """In the order of the manifest's."""


def read_quality(root: Path) -> Quality | None:
    """The report of the data set in `root`; None if an older bertd made it without one.

    Raises:
        ShardError: it cannot be read, or is not a quality report.
    """
    path = root / QUALITY_FILE
    if not path.exists():
        return None
    try:
        return Quality.model_validate(json.loads(path.read_bytes()))
    except (OSError, ValueError) as error:
        raise ShardError(f"{path}: not a quality report: {error}; prepare the data set again") from error
