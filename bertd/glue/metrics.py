"""GLUE's five measures, each by its textbook formula.

Where a formula divides by zero because all predictions (or all answers) are equal, the score is 0: that is what the
measure tends to for a guess that says nothing, and what GLUE's own scorer gives for Matthews and F1.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]


def accuracy(predicted: Values, true: Values) -> float:
    """Share of predictions that are right."""
    return float(np.mean(predicted == true))


def f1(predicted: Values, true: Values) -> float:
    """Harmonic mean of precision and recall of class 1."""
    true_positives = float(np.sum((predicted == 1) & (true == 1)))
    num_positives = float(np.sum(predicted == 1) + np.sum(true == 1))
    return 2 * true_positives / num_positives if num_positives else 0.0


def matthews(predicted: Values, true: Values) -> float:
    """Correlation of two classes 0 and 1. Source: Matthews 1975."""
    return pearson(predicted, true)


def pearson(predicted: Values, true: Values) -> float:
    """Linear correlation."""
    if predicted.size == 0 or np.ptp(predicted) == 0 or np.ptp(true) == 0:
        # Asked first, because the rounding of the mean makes a constant's deviations a little unlike 0.
        return 0.0
    a, b = predicted - predicted.mean(), true - true.mean()
    return float(np.sum(a * b) / np.sqrt(np.sum(a * a) * np.sum(b * b)))


def spearman(predicted: Values, true: Values) -> float:
    """Linear correlation of the ranks, equal values sharing their mean rank."""
    return pearson(mean_ranks(predicted), mean_ranks(true))


def mean_ranks(values: Values) -> Values:
    """Rank of each value from 1; equal values get the mean of the ranks they take up."""
    _, rank_indices, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    means: Values = last - (counts - 1) / 2
    return means[rank_indices]


METRICS: dict[str, Callable[[Values, Values], float]] = {
    "accuracy": accuracy,
    "f1": f1,
    "matthews": matthews,
    "pearson": pearson,
    "spearman": spearman,
}
"""By the name that bertd.glue.tasks uses: (predicted, true) to a score."""


def majority_guess(train: Values, *, is_class: bool) -> float:
    """What a guess that never reads the text says: the most common class (the smaller of equals), or the mean."""
    if not is_class:
        return float(train.mean())
    classes, counts = np.unique(train, return_counts=True)
    return float(classes[np.argmax(counts)])
