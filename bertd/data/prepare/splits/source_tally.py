"""Counts over the kept documents of a source, from which its text quality is computed."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from bertd.data.arrays import IndexArray
from bertd.data.dataset.text_quality import SUMMED_COLUMNS, SourceQuality
from bertd.data.prepare.parts.part_file import PartFile
from bertd.run.dataset_manifest import SplitCounts

_BINS_PER_DOUBLING = 8
"""Histogram bins from one power of two to the next: quantiles are accurate to a tenth."""
_NUM_BINS = 40 * _BINS_PER_DOUBLING


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
    """Geometric centre of a bin's lengths."""
    return round(2 ** ((number + 0.5) / _BINS_PER_DOUBLING))


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
