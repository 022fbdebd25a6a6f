"""The documents of a part as arrays, and how one of them is cut into training and held-out pieces."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from bertd.data.arrays import IndexArray
from bertd.data.prepare.parts.part_file import PartFile
from bertd.data.prepare.selection.document_decisions import DecisionArray, DocumentDecision
from bertd.data.prepare.selection.holdout import find_pieces


@dataclass(frozen=True)
class PartDocuments:
    """The documents of a part, each with what is decided of it."""

    tokens: npt.NDArray[np.int64]
    lengths: IndexArray
    """Tokens of each document, its [SEP] counted."""
    num_sentences: IndexArray
    sentence_lengths: IndexArray
    decisions: DecisionArray

    @classmethod
    def of_part(cls, part: PartFile, decisions: DecisionArray) -> PartDocuments:
        """A part's documents, as they were tokenized."""
        return cls(
            tokens=part.array("tokens"),
            lengths=part.array("document_lengths"),
            num_sentences=part.array("document_sentences"),
            sentence_lengths=part.array("sentence_lengths"),
            decisions=decisions,
        )

    @property
    def num_held_out(self) -> int:
        """Documents of the validation split."""
        return int(np.count_nonzero(self.decisions == DocumentDecision.VALIDATION))

    def cut(self, document: int, *, num_held: int) -> PartDocuments:
        """The same with this document in pieces, each a document with its own [SEP]: training, held out, ..."""
        begin = int(self.lengths[:document].sum())
        first_sentence = int(self.num_sentences[:document].sum())
        in_document = slice(first_sentence, first_sentence + int(self.num_sentences[document]))
        ends = np.cumsum(self.sentence_lengths[in_document])
        ends[-1] -= 1  # its [SEP]
        pieces = find_pieces(ends, num_held=num_held)
        bounds = np.unique(np.array([0, *(bound for piece in pieces for bound in piece), ends[-1]]))
        held_from = {piece[0] for piece in pieces}
        kinds = [
            DocumentDecision.VALIDATION if start in held_from else DocumentDecision.TRAIN
            for start in bounds[:-1].tolist()
        ]
        # A sentence that a bound divides becomes two.
        sentence_ends = np.union1d(ends, bounds[1:])
        sentence_lengths = np.diff(sentence_ends, prepend=0)
        closes_piece = np.isin(sentence_ends, bounds[1:])
        separator = self.tokens[begin + int(self.lengths[document]) - 1]
        return replace(
            self,
            tokens=np.insert(self.tokens, begin + bounds[1:-1], separator),
            lengths=_replaced(self.lengths, document, np.diff(bounds) + 1),
            num_sentences=_replaced(self.num_sentences, document, np.diff(np.flatnonzero(closes_piece) + 1, prepend=0)),
            sentence_lengths=np.concatenate(
                [
                    self.sentence_lengths[: in_document.start],
                    sentence_lengths + closes_piece,
                    self.sentence_lengths[in_document.stop :],
                ]
            ),
            decisions=_replaced(self.decisions, document, np.array(kinds, dtype=np.uint8)),
        )


def _replaced(array: npt.NDArray[Any], index: int, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The array with these values in the place of one."""
    return np.concatenate([array[:index], values, array[index + 1 :]])
