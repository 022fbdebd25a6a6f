"""Count the documents that the assembly leaves out, and their characters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from bertd.data.prepare.parts.part_file import PartFile
from bertd.data.prepare.selection.document_decisions import DecisionArray, DocumentDecision
from bertd.data.sources.readers.document import SkipReason
from bertd.data.sources.readers.left_out import LeftOut

_SKIP_REASONS = {
    DocumentDecision.DUPLICATE: SkipReason.DUPLICATE,
    DocumentDecision.NEAR_DUPLICATE: SkipReason.NEAR_DUPLICATE,
    DocumentDecision.OVER_LIMIT: SkipReason.OVER_LIMIT,
}
_SAMPLE_TOKENS = 60


@dataclass
class AssemblySkips:
    """Documents that the assembly leaves out."""

    decode: Callable[[list[int]], str]
    skipped: dict[int, Counter[str]] = field(default_factory=dict)
    left_out: dict[int, LeftOut] = field(default_factory=dict)

    def add(self, part: PartFile, decisions: DecisionArray, *, source: int, chosen: npt.NDArray[np.bool_]) -> None:
        """Count those of a source in a part, with the first of each reason as a sample."""
        lengths, characters = part.array("document_lengths"), part.array("characters")
        for decision, reason in _SKIP_REASONS.items():
            skipped = np.flatnonzero(chosen & (decisions == decision))
            if not len(skipped):
                continue
            begin = int(lengths[: skipped[0]].sum())
            tokens = part.array("tokens")[begin : begin + min(_SAMPLE_TOKENS, int(lengths[skipped[0]]) - 1)]
            self.skipped.setdefault(source, Counter())[reason.value] += len(skipped)
            self.left_out.setdefault(source, LeftOut()).add_count(
                reason, int(characters[skipped].sum()), sample=self.decode(tokens.tolist())
            )
