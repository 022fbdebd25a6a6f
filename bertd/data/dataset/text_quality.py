"""How good a data set's text is, source by source: the file quality.json beside the manifest.

Everything is counted over the documents that are kept, from their tokens and letters. A high share of unknown tokens
or many tokens a word mean that the vocabulary does not fit the text; few ASCII letters, another script; very short
documents or very long sentences, that the source was cut in the wrong places.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bertd.data.batches.sampler import IndexArray
from bertd.data.dataset.manifest import FrozenModel, SplitCounts
from bertd.data.prepare.part_file import PartFile
from bertd.errors import ShardError

QUALITY_FILE = "quality.json"

SUMMED_COLUMNS = ("characters", "letters", "ascii_letters", "words", "unknown")
"""Of a part's file: what is summed over documents."""

_BINS_PER_DOUBLING = 8
"""Steps of a histogram from one power of two to the next: quantiles are right to a tenth."""
_NUM_BINS = 40 * _BINS_PER_DOUBLING


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


@dataclass
class SourceTally:
    """Sums over the kept documents of one source."""

    kept: SplitCounts = field(default_factory=SplitCounts)
    sums: IndexArray = field(default_factory=lambda: np.zeros(len(SUMMED_COLUMNS), dtype=np.int64))
    document_bins: IndexArray = field(default_factory=lambda: np.zeros(_NUM_BINS, dtype=np.int64))
    sentence_bins: IndexArray = field(default_factory=lambda: np.zeros(_NUM_BINS, dtype=np.int64))

    def add(self, part: PartFile, *, keep: npt.NDArray[np.bool_]) -> None:
        """Count the documents of a part that are this source's and kept."""
        lengths, per_document = part.array("document_lengths"), part.array("document_sentences")
        sentences = part.array("sentence_lengths")[np.repeat(keep, per_document)]
        kept = lengths[keep]
        self.kept = SplitCounts(
            documents=self.kept.documents + len(kept),
            sentences=self.kept.sentences + len(sentences),
            tokens=self.kept.tokens + int(kept.sum()) - len(kept),
        )
        self.sums += [int(part.array(name)[keep].sum()) for name in SUMMED_COLUMNS]
        self.document_bins += _bin_lengths(kept - 1)
        self.sentence_bins += _bin_lengths(sentences)

    def quality(self) -> SourceQuality:
        counts = dict(zip(SUMMED_COLUMNS, self.sums.tolist(), strict=True))
        return SourceQuality(
            tokens=self.kept.tokens,
            document_tokens=_estimate_quantiles(self.document_bins),
            sentence_tokens=_estimate_quantiles(self.sentence_bins),
            **counts,
        )


def _bin_lengths(lengths: IndexArray) -> IndexArray:
    bins = (np.log2(np.maximum(1, lengths)) * _BINS_PER_DOUBLING).astype(np.int64)
    return np.bincount(bins, minlength=_NUM_BINS)


def _estimate_quantiles(bins: IndexArray) -> tuple[int, int, int] | None:
    total = int(bins.sum())
    if not total:
        return None
    cumulative = np.cumsum(bins)
    low, median, high = (int(np.searchsorted(cumulative, share * total)) for share in (0.05, 0.5, 0.95))
    return _bin_center(low), _bin_center(median), _bin_center(high)


def _bin_center(number: int) -> int:
    """Amid the lengths of a bin."""
    return round(2 ** ((number + 0.5) / _BINS_PER_DOUBLING))


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
