"""Metrics of tags and of answers as one sum over the sentences, or questions, divided by another.

Entity F1 is twice the number of right entities over that of predicted and true ones; accuracy the right words over all;
F1 and exact match of answers are means over questions. So a resample needs each sentence's or question's two summands,
and no tags.

U  units: sentences, or questions
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bertd.errors import CheckpointError
from bertd.glue.kinds.entities import find_entities
from bertd.glue.metrics import Values
from bertd.glue.training.dev_predictions import (
    ANSWER_EXACT_MATCH,
    ANSWER_F1,
    DETAILS,
    QUESTIONS,
    SENTENCE_LENGTHS,
    TAG_NAMES,
    WORDS,
    SetPredictions,
)

METRICS_OF_UNITS = {
    WORDS: ("f1", "precision", "recall", "accuracy"),
    QUESTIONS: (ANSWER_F1, ANSWER_EXACT_MATCH),
}
"""By the suffix of the predictions."""


@dataclass(frozen=True)
class UnitSums:
    """What a metric of one trial sums."""

    numerator_U: Values
    denominator_U: Values

    @property
    def score(self) -> float:
        """The metric of all units; 0 where nothing is there to divide by."""
        total = float(self.denominator_U.sum())
        return float(self.numerator_U.sum()) / total if total else 0.0


def read_unit_sums(metric: str, suffix: str, predictions: SetPredictions, *, place: str) -> UnitSums:
    """The summands of a metric.

    Args:
        metric: of METRICS_OF_UNITS.
        suffix: of the predictions.
        predictions: of one trial.
        place: names their file in an error.

    Raises:
        CheckpointError: the file lacks what the metric needs.
    """
    if missing := [name for name in DETAILS[suffix] if name not in predictions.details]:
        raise CheckpointError(f"{place}: has no {missing[0]}{suffix}: an older version wrote it; finetune again")
    if suffix == QUESTIONS:
        scores_U: Values = predictions.details[metric].astype(np.float64)
        return UnitSums(scores_U, np.ones_like(scores_U))
    lengths = predictions.details[SENTENCE_LENGTHS]
    if int(lengths.sum()) != predictions.predicted.size:
        raise CheckpointError(f"{place}: the sentences have {lengths.sum()} words, but there are other tags; damaged")
    ends = np.cumsum(lengths)[:-1]
    by_sentence = zip(np.split(predictions.predicted, ends), np.split(predictions.true, ends), strict=True)
    if metric == "accuracy":
        right = np.array([(found == wanted).sum() for found, wanted in by_sentence], dtype=np.float64)
        return UnitSums(right, lengths.astype(np.float64))
    names = [str(name) for name in predictions.details[TAG_NAMES]]
    counts_U3 = np.array(
        [
            _count_entities([names[tag] for tag in found], [names[tag] for tag in wanted])
            for found, wanted in by_sentence
        ],
        dtype=np.float64,
    )
    right_U, found_U, wanted_U = counts_U3.T
    denominators = {"f1": (found_U + wanted_U) / 2, "precision": found_U, "recall": wanted_U}
    return UnitSums(right_U, denominators[metric])


def _count_entities(predicted: list[str], true: list[str]) -> tuple[int, int, int]:
    """Right, predicted and true entities of a sentence."""
    found, wanted = set(find_entities(predicted)), set(find_entities(true))
    return len(found & wanted), len(found), len(wanted)
