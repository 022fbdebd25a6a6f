"""Metrics from scikit-learn and SciPy, with what they do on input that has no correlation or no positive.

If a formula divides by zero because all predictions (or all labels) are equal, the score is 0: the value of an
uninformative guess, and what GLUE's own scorer gives for Matthews and F1. A value that is not finite has no score.
The packages are imported by the metric that needs them; accuracy needs neither.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from bertd.errors import NumericsError

Values = NDArray[np.float64]


def accuracy(predicted: Values, true: Values) -> float:
    """Share of correct predictions."""
    return float(np.mean(predicted == true))


def f1(predicted: Values, true: Values) -> float:
    """Harmonic mean of precision and recall of class 1."""
    from sklearn.metrics import f1_score

    return float(f1_score(true == 1, predicted == 1, zero_division=0))


def macro_f1(predicted: Values, true: Values) -> float:
    """Mean of the F1 of each class that occurs in the labels or the predictions."""
    from sklearn.metrics import f1_score

    return float(f1_score(true.astype(int), predicted.astype(int), average="macro", zero_division=0))


def matthews(predicted: Values, true: Values) -> float:
    """Matthews correlation of class ids, for two classes or more. Source: Gorodkin 2004."""
    from sklearn.metrics import matthews_corrcoef

    if _is_constant(predicted) or _is_constant(true):
        return 0.0
    return float(matthews_corrcoef(true.astype(int), predicted.astype(int)))


def pearson(predicted: Values, true: Values) -> float:
    """Pearson's linear correlation."""
    from scipy.stats import pearsonr

    if _is_constant(predicted) or _is_constant(true):
        return 0.0
    # SciPy gives NaN where a sum overflows, as of values near 1e308. Of a constant it gives NaN, too.
    return float(pearsonr(_scaled(predicted), _scaled(true)).statistic)


def spearman(predicted: Values, true: Values) -> float:
    """Spearman's correlation: that of the ranks, where equal values share their mean rank."""
    from scipy.stats import spearmanr

    if _is_constant(predicted) or _is_constant(true):
        return 0.0
    return float(spearmanr(predicted, true).statistic)


def _is_constant(values: Values) -> bool:
    return values.size == 0 or bool((values == values[0]).all())


def _scaled(values: Values) -> Values:
    """The values times a power of two, which rounds none of them, so that the largest is in 0.5..1."""
    _, exponent = np.frexp(np.abs(values).max())
    scaled: Values = np.ldexp(values, -int(exponent))
    return scaled


METRICS: dict[str, Callable[[Values, Values], float]] = {
    "accuracy": accuracy,
    "f1": f1,
    "macro_f1": macro_f1,
    "matthews": matthews,
    "pearson": pearson,
    "spearman": spearman,
}
"""Functions from (predicted, true) to a score, by their names in bertd.glue.tasks."""


def compute_metric(name: str, predicted: Values, true: Values) -> float:
    """One metric of predictions.

    Args:
        name: one of METRICS.

    Raises:
        NumericsError: a prediction or a label is not finite, there is none, or their numbers differ.
    """
    if predicted.size == 0 or predicted.shape != true.shape:
        raise NumericsError(f"{name}: {predicted.size} predictions for {true.size} labels; each label needs one")
    for what, values in (("prediction", predicted), ("label", true)):
        finite = np.isfinite(values)
        if not finite.all():
            number = int(np.argmin(finite))
            raise NumericsError(
                f"{name}: {what} {number + 1} of {values.size} is {values[number]}; lower the learning rate, or fix "
                "the labels"
            )
    return METRICS[name](predicted, true)


def majority_guess(train: Values, *, is_class: bool) -> float:
    """The best constant guess: the most common class (of equals, the smallest), or the mean."""
    if not is_class:
        return float(train.mean())
    classes, counts = np.unique(train, return_counts=True)
    return float(classes[np.argmax(counts)])
