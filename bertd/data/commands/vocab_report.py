"""What `bertd data vocab` says of the vocabulary it trained."""

from __future__ import annotations

from dataclasses import dataclass

from bertd.data.dataset.left_out_report import SourceLeftOut
from bertd.run.amounts.quantities import format_count
from bertd.tokenizer.deleted_marks import MIN_MARKS_SHARE, deleted_marks_text


@dataclass(frozen=True)
class VocabularyReport:
    """Size of a new vocabulary, and how it splits text that it was not trained on."""

    path: str
    entries: int
    documents: int
    skipped: dict[str, int]
    """Documents that were left out, by reason."""
    characters: SourceLeftOut
    """Characters read, kept and left out, over all sources."""
    held_out_words: int
    """Between spaces; 0 where the corpus is too small to hold text out."""
    held_out_characters: int
    """Without spaces."""
    tokens_per_word: float | None
    """None also where most words have no spaces between them, as in Chinese, Japanese and Thai."""
    tokens_per_character: float | None
    unknown_share: float | None
    """Share of the held-out tokens, 0..1."""
    asked: int
    """Entries that were asked for."""
    deleted_marks_share: float
    """Accents, vowel signs and other marks that the normalizer deletes, for each letter of the text."""

    def held_out_line(self) -> str:
        """How the vocabulary splits text that it was not trained on."""
        if self.tokens_per_character is None or self.unknown_share is None:
            return "the corpus is too small to hold text out"
        if self.tokens_per_word is not None:
            on, rate = format_count(self.held_out_words, "held-out word"), f"{self.tokens_per_word:.3f} tokens a word"
        else:
            on = format_count(self.held_out_characters, "held-out character")
            rate = f"{self.tokens_per_character:.3f} tokens a character"
        return f"on {on}: {rate}, {100 * self.unknown_share:.3f} % unknown"

    def remarks(self) -> list[str]:
        """What the numbers mean, where something is to be said, one line each."""
        lines = []
        if self.entries < self.asked:
            lines.append(
                f"fewer than the {self.asked:,} asked for: no two pieces that are left stand together twice, and every "
                "character has its entry; more text gives more"
            )
        if self.deleted_marks_share >= MIN_MARKS_SHARE:
            lines.append(deleted_marks_text(self.deleted_marks_share))
        return lines
