"""Why text is left out, and how much of it: characters by reason, with samples of bounded number and length.

Nothing is left out in silence: a reader records each piece that it cuts from a document, and the characters it kept and
those it left out add up to the characters it read. A piece is sampled with a chance that grows with its length, by its
hash, so that the samples do not depend on the order in which pieces are recorded.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import Enum
from hashlib import blake2b

from pydantic import BaseModel, ConfigDict

MAX_DOCUMENT_BYTES = 1 << 25
"""A longer document is skipped, or cut where the format does not mark documents; bounds the memory."""
MAX_SAMPLES = 4
"""Samples of each reason."""
MAX_SAMPLE_CHARACTERS = 240
"""Length of a sample; of a longer piece its beginning is kept."""


class SkipReason(Enum):
    """Why a document, or a piece of one, is left out; the value is shown to users."""

    # Complete documents.
    EMPTY = "no text"
    REDIRECT = "redirect"
    OTHER_NAMESPACE = "not an article"
    OTHER_MODEL = "not wikitext"
    DISAMBIGUATION = "disambiguation page"
    INVALID_UTF8 = "not valid UTF-8"
    NOT_TEXT = "not text"
    OTHER_FORMAT = "file of another format"
    NOT_JSON = "not a JSON object"
    NO_FIELD = "lacks the text field"
    FIELD_NOT_TEXT = "text field that is not text"
    UNCLOSED = "never closed"
    DAMAGED = "damaged markup"
    DAMAGED_ROW = "damaged row"
    NOT_WHERE = "does not meet --where"
    NO_COLUMN = "lacks a value for --where"
    OTHER_LANGUAGE = "of another language"
    OTHER_RECORD = "record without extracted text"
    TOO_LONG = f"longer than {MAX_DOCUMENT_BYTES >> 20} MiB"
    SHORT = "shorter than the minimum"
    FEW_ASCII_LETTERS = "too few ASCII letters"
    DUPLICATE = "exact duplicate"
    NEAR_DUPLICATE = "near duplicate"
    OVER_LIMIT = "beyond --max-documents"
    # Pieces of documents.
    SPACING = "spaces and line breaks"
    MARKUP = "markup"
    COMMENT = "comment"
    TEMPLATE = "template"
    TABLE = "table"
    REFERENCE = "reference"
    FORMULA = "formula or code"
    FILE = "file or category"
    TITLE = "title or heading"
    LIST_ITEM = "list item that is not a sentence"
    FRAGMENT = "line that is not prose"
    HEADER = "header or licence"
    UNKNOWN_WORD = "word that the corpus replaced by <unk>"
    OUTSIDE = "outside of documents"
    OLDER_REVISION = "older revision"


class LeftOutRecord(BaseModel):
    """A LeftOut as it is written to a file."""

    model_config = ConfigDict(frozen=True)

    characters: dict[str, int] = {}
    """By reason."""
    samples: dict[str, list[tuple[int, str]]] = {}
    """Rank and text, by reason."""


@dataclass
class LeftOut:
    """Characters left out by reason, and samples of them."""

    characters: Counter[SkipReason] = field(default_factory=Counter)
    samples: dict[SkipReason, list[tuple[int, str]]] = field(default_factory=dict)
    """Rank and text; those with the lowest ranks are kept."""

    @property
    def total(self) -> int:
        """Characters left out for any reason."""
        return self.characters.total()

    def add(self, reason: SkipReason, text: str, *, kept: int = 0) -> None:
        """Record a piece.

        Args:
            kept: characters of the piece that stay in the text, as the words of a template do.
        """
        self.add_count(reason, len(text) - kept, sample=text)

    def add_count(self, reason: SkipReason, num_characters: int, *, sample: str) -> None:
        """Record a number of characters, with a sample of them."""
        assert num_characters >= 0, (reason, num_characters, sample)
        if not num_characters:
            return
        self.characters[reason] += num_characters
        if sample := sample[: 2 * MAX_SAMPLE_CHARACTERS].strip()[:MAX_SAMPLE_CHARACTERS]:
            # Half a surrogate pair, which a JSON escape can spell, cannot be written to a file.
            content = sample.encode("utf-8", "replace")
            rank = int.from_bytes(blake2b(content, digest_size=8).digest(), "little") // num_characters
            self._add_sample(reason, rank, content.decode())

    def update(self, other: LeftOut) -> None:
        """Add what another one counted."""
        self.characters.update(other.characters)
        for reason, samples in other.samples.items():
            for rank, sample in samples:
                self._add_sample(reason, rank, sample)

    def _add_sample(self, reason: SkipReason, rank: int, sample: str) -> None:
        samples = self.samples.setdefault(reason, [])
        if len(samples) == MAX_SAMPLES and rank >= samples[-1][0]:
            return
        for number, (before, text) in enumerate(samples):
            if text == sample:
                samples[number] = (min(rank, before), text)
                break
        else:
            samples.append((rank, sample))
        samples.sort()
        del samples[MAX_SAMPLES:]

    def to_record(self) -> LeftOutRecord:
        """In the order of the reasons, so that equal counts give equal files."""
        return LeftOutRecord(
            characters={one.value: self.characters[one] for one in SkipReason if self.characters[one]},
            samples={one.value: self.samples[one] for one in SkipReason if self.samples.get(one)},
        )

    @classmethod
    def from_record(cls, record: LeftOutRecord) -> LeftOut:
        return cls(
            characters=Counter({SkipReason(name): count for name, count in record.characters.items()}),
            samples={SkipReason(name): list(samples) for name, samples in record.samples.items()},
        )
