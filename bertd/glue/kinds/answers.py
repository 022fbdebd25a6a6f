"""Exact match and F1 of answers, as SQuAD's official scripts count them, and the threshold of no answer.

Answers are compared without case, punctuation, articles and white space; F1 is that of their words. A question has the
best value of its gold answers. The two scripts differ where nothing is left of an answer: that of 1.1 gives such a pair
an F1 of 0, that of 2.0 gives it 1, and leaves gold answers out of which nothing is left; where no gold answer is left,
the only right one is "". Both count in percent, these functions from 0 to 1.

Source: evaluate-v1.1.py and evaluate-v2.0.py of rajpurkar.github.io/SQuAD-explorer.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bertd.glue.metrics import Values

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


@dataclass(frozen=True)
class AnswerScore:
    """Of one question, or the means of several; each 0..1."""

    exact_match: float
    f1: float


class GoldAnswers:
    """What is right for one question."""

    def __init__(self, texts: Sequence[str], *, has_unanswerable: bool) -> None:
        """`texts` are as in the file; `has_unanswerable` says that it is of version 2.0."""
        self.has_answer = bool(texts)
        """As the file says, whatever is left of the texts."""
        self._has_unanswerable = has_unanswerable
        self._words = [_split_words(text) for text in texts]
        if has_unanswerable:
            self._words = [words for words in self._words if words] or [[]]

    def score(self, predicted: str) -> AnswerScore:
        """Compare a prediction, "" for no answer, with each gold answer; the best of each metric."""
        words = _split_words(predicted)
        return AnswerScore(
            exact_match=float(words in self._words), f1=max(self._f1(words, gold) for gold in self._words)
        )

    def _f1(self, predicted: list[str], gold: list[str]) -> float:
        if self._has_unanswerable and not (predicted and gold):
            return float(predicted == gold)
        num_same = sum((Counter(predicted) & Counter(gold)).values())
        if not num_same:
            return 0.0
        precision, recall = num_same / len(predicted), num_same / len(gold)
        return 2 * precision * recall / (precision + recall)


def _split_words(text: str) -> list[str]:
    """The words that are compared: two answers have equal words just where their normalized texts are equal."""
    return _ARTICLES.sub(" ", text.lower().translate(_NO_PUNCTUATION)).split()


def mean_score(scores: Sequence[AnswerScore]) -> AnswerScore:
    """The means over questions, of which there must be one."""
    count = len(scores)
    return AnswerScore(
        exact_match=sum(score.exact_match for score in scores) / count, f1=sum(score.f1 for score in scores) / count
    )


def choose_null_threshold(odds_N: Values, gains_N: Values) -> float:
    """The threshold with the highest sum of scores if each question whose odds are above it gets no answer.

    Of equals, the lowest; below all odds where no answer at all is best. The official script takes its best threshold
    between questions of equal odds, too, where no threshold can be, and 0 where no answer at all is best.

    Args:
        odds_N: log-odds of no answer of each question.
        gains_N: its score with an answer less its score without.
    """
    order = np.argsort(odds_N, kind="stable")
    sorted_N = odds_N[order]
    sums = np.concatenate([[0.0], np.cumsum(gains_N[order])])
    # The number of questions with an answer can only be one at which the odds change.
    can_end = np.concatenate([[True], sorted_N[1:] != sorted_N[:-1], [True]])
    best = int(np.argmax(np.where(can_end, sums, -np.inf)))
    return float(sorted_N[best - 1]) if best else float(np.nextafter(sorted_N[0], -np.inf))
