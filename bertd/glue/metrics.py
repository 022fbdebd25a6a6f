"""GLUE's five metrics, each by its textbook formula.

If a formula divides by zero because all predictions (or all labels) are equal, the score is 0: the value of an
uninformative guess, and what GLUE's own scorer gives for Matthews and F1.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]


def accuracy(predicted: Values, true: Values) -> float:
    """Share of correct predictions."""
    return float(np.mean(predicted == true))


def f1(predicted: Values, true: Values) -> float:
    """Harmonic mean of precision and recall of class 1."""
    true_positives = float(np.sum((predicted == 1) & (true == 1)))
    num_positives = float(np.sum(predicted == 1) + np.sum(true == 1))
    return 2 * true_positives / num_positives if num_positives else 0.0


def matthews(predicted: Values, true: Values) -> float:
    """Matthews correlation of the classes 0 and 1. Source: Matthews 1975."""
    return pearson(predicted, true)


def pearson(predicted: Values, true: Values) -> float:
    """Pearson's linear correlation."""
    if predicted.size == 0 or np.ptp(predicted) == 0 or np.ptp(true) == 0:
        # Checked first: the mean is rounded, so the deviations of a constant need not be exactly 0.
        return 0.0
    a, b = predicted - predicted.mean(), true - true.mean()
    return float(np.sum(a * b) / np.sqrt(np.sum(a * a) * np.sum(b * b)))


def spearman(predicted: Values, true: Values) -> float:
    """Spearman's correlation: that of the ranks, where equal values share their mean rank."""
    return pearson(mean_ranks(predicted), mean_ranks(true))


def mean_ranks(values: Values) -> Values:
    """Rank of each value, from 1; equal values get the mean of their ranks."""
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
"""Functions from (predicted, true) to a score, by their names in bertd.glue.tasks."""


def majority_guess(train: Values, *, is_class: bool) -> float:
    """The best constant guess: the most common class (of equals, the smallest), or the mean."""
    if not is_class:
        return float(train.mean())
    classes, counts = np.unique(train, return_counts=True)
    return float(classes[np.argmax(counts)])
