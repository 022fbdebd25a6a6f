"""What words alone say about the demo's task: naive Bayes on the same examples, without an encoder.

A score above it means that the encoder knows more than which words the training examples of each label have.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

from bertd.demo.package_task import LabeledSentence
from bertd.records import Record

_WORD = re.compile(r"[a-z]+")


class WordCountScore(Record):
    """Metrics of naive Bayes on the development examples."""

    accuracy: float
    """0..1."""
    matthews: float
    """-1..1; 0 if all predictions or all labels are equal."""


def score_word_counts(train: Sequence[LabeledSentence], dev: Sequence[LabeledSentence]) -> WordCountScore:
    """Multinomial naive Bayes with add-one smoothing and equal priors, since both labels are equally frequent."""
    counts: dict[bool, Counter[str]] = {True: Counter(), False: Counter()}
    for one in train:
        counts[one.is_from_package].update(_words(one.sentence))
    vocabulary = counts[True].keys() | counts[False].keys()
    totals = {label: count.total() + len(vocabulary) for label, count in counts.items()}

    def log_likelihood(sentence: str, *, label: bool) -> float:
        return sum(math.log((counts[label][word] + 1) / totals[label]) for word in _words(sentence))

    outcomes = Counter(
        (
            one.is_from_package,
            log_likelihood(one.sentence, label=True) > log_likelihood(one.sentence, label=False),
        )
        for one in dev
    )
    return WordCountScore(
        accuracy=(outcomes[True, True] + outcomes[False, False]) / outcomes.total(), matthews=_matthews(outcomes)
    )


def _matthews(outcomes: Counter[tuple[bool, bool]]) -> float:
    """Matthews correlation of pairs (label, prediction). Source: Matthews 1975, equation 1."""
    hits, rejections = outcomes[True, True], outcomes[False, False]
    misses, alarms = outcomes[True, False], outcomes[False, True]
    product = (hits + misses) * (hits + alarms) * (rejections + misses) * (rejections + alarms)
    return (hits * rejections - misses * alarms) / math.sqrt(product) if product else 0.0


def _words(sentence: str) -> list[str]:
    return _WORD.findall(sentence.lower())
