"""Metrics of many resamples of a development set at once, equal to those of bertd.glue.metrics.

R  resamples
T  trials, whose predictions are scored on the same resamples
P  patterns: examples with the same label and the same predictions, which a resample cannot tell apart
C  classes
U  units: sentences, or questions, which are drawn whole

A resample is how often each pattern is drawn. For classes that is little even where there are many examples; numbers
to predict have about as many patterns as examples.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bertd.glue.metrics import Values

_BLOCK_ELEMENTS = 1 << 18
"""Counts at once, 8 bytes each: a few arrays of that size fit the processor's cache."""
_CORRELATIONS = ("pearson", "spearman")


@dataclass(frozen=True)
class _Patterns:
    true_P: Values
    predicted_TP: Values
    num_examples_P: NDArray[np.int64]


def resample_scores(
    metric: str, predicted_TN: Values, true_N: Values, *, num_resamples: int, generator: np.random.Generator
) -> Values:
    """RT: the metric of each trial on each resample, as many examples drawn with replacement as there are.

    Args:
        metric: one of bertd.glue.metrics.METRICS.
    """
    rows, counts_P = np.unique(np.vstack([true_N, predicted_TN]), axis=1, return_counts=True)
    patterns = _Patterns(rows[0], rows[1:], counts_P)
    shares_P = counts_P / counts_P.sum()
    score = _score_numbers if metric in _CORRELATIONS else _score_classes
    blocks = [
        score(metric, patterns, generator.multinomial(int(counts_P.sum()), shares_P, size=size).astype(np.float64))
        for size in _block_sizes(num_resamples, num_patterns=counts_P.size)
    ]
    return np.concatenate(blocks)


def resample_ratios(
    numerator_TU: Values, denominator_TU: Values, *, num_resamples: int, generator: np.random.Generator
) -> Values:
    """RT: one sum over another on each resample, as many units drawn with replacement as there are; 0 for 0 of 0."""
    num_units = numerator_TU.shape[1]
    blocks = []
    for size in _block_sizes(num_resamples, num_patterns=num_units):
        drawn_RU = generator.multinomial(num_units, np.full(num_units, 1 / num_units), size=size).astype(np.float64)
        blocks.append(_divide(drawn_RU @ numerator_TU.T, drawn_RU @ denominator_TU.T))
    return np.concatenate(blocks)


def _block_sizes(num_resamples: int, *, num_patterns: int) -> Iterator[int]:
    size = max(1, _BLOCK_ELEMENTS // num_patterns)
    for start in range(0, num_resamples, size):
        yield min(size, num_resamples - start)


def _score_classes(metric: str, patterns: _Patterns, counts_RP: Values) -> Values:
    classes_C = np.unique([patterns.true_P, *patterns.predicted_TP])
    num_trials = len(patterns.predicted_TP)
    is_true_PC = patterns.true_P[:, None] == classes_C
    is_predicted_PTC = patterns.predicted_TP.T[:, :, None] == classes_C
    is_right_PTC = is_predicted_PTC & is_true_PC[:, None, :]
    shape = (len(counts_RP), num_trials, classes_C.size)
    true_R1C = (counts_RP @ is_true_PC.astype(np.float64))[:, None, :]
    predicted_RTC = (counts_RP @ is_predicted_PTC.reshape(len(counts_RP[0]), -1).astype(np.float64)).reshape(shape)
    right_RTC = (counts_RP @ is_right_PTC.reshape(len(counts_RP[0]), -1).astype(np.float64)).reshape(shape)
    total = counts_RP[0].sum()
    match metric:
        case "accuracy":
            accuracy_RT: Values = right_RTC.sum(axis=2) / total
            return accuracy_RT
        case "f1" | "macro_f1":
            f1_RTC = _divide(2 * right_RTC, predicted_RTC + true_R1C)
            if metric == "f1":
                f1_RT: Values = f1_RTC[:, :, classes_C == 1].sum(axis=2)
                return f1_RT
            occurs_RTC = predicted_RTC + true_R1C > 0
            return _divide(f1_RTC.sum(axis=2), occurs_RTC.sum(axis=2).astype(np.float64))
        case "matthews":
            # Gorodkin 2004: the correlation of the two assignments to classes.
            covariance_RT = right_RTC.sum(axis=2) * total - (predicted_RTC * true_R1C).sum(axis=2)
            variance_RT = (total**2 - (predicted_RTC**2).sum(axis=2)) * (total**2 - (true_R1C**2).sum(axis=2))
            return _divide(covariance_RT, np.sqrt(variance_RT))
    raise AssertionError(f"no such metric of classes: {metric}")


def _score_numbers(metric: str, patterns: _Patterns, counts_RP: Values) -> Values:
    # A pattern's counts side by side, which is how they are added up below.
    counts_PR = np.ascontiguousarray(counts_RP.T)
    rank = _rank if metric == "spearman" else _as_they_are
    true_PR = _center(rank(patterns.true_P, counts_PR), counts_PR)
    weighted_PR = counts_PR * true_PR
    true_variance_R = _sum_products(weighted_PR, true_PR)
    columns = []
    for predicted_P in patterns.predicted_TP:
        predicted_PR = _center(rank(predicted_P, counts_PR), counts_PR)
        variance_R = _sum_products(counts_PR * predicted_PR, predicted_PR)
        covariance_R = _sum_products(weighted_PR, predicted_PR)
        columns.append(_divide(covariance_R, np.sqrt(variance_R * true_variance_R)))
    return np.stack(columns, axis=1)


def _as_they_are(values_P: Values, counts_PR: Values) -> Values:
    return np.repeat(values_P[:, None], counts_PR.shape[1], axis=1)


def _rank(values_P: Values, counts_PR: Values) -> Values:
    """PR: the rank of each value in each resample; equal values share their mean rank."""
    _, group_P, sizes = np.unique(values_P, return_inverse=True, return_counts=True)
    order = np.argsort(group_P, kind="stable")
    counts_GR = counts_PR[order]
    if sizes.size < order.size:
        counts_GR = np.add.reduceat(counts_GR, np.cumsum(sizes) - sizes, axis=0)
    ranks_GR = np.cumsum(counts_GR, axis=0)
    ranks_GR -= (counts_GR - 1) / 2
    ranks_PR: Values = ranks_GR[group_P]
    return ranks_PR


def _center(values_PR: Values, counts_PR: Values) -> Values:
    """Each value's distance from its resample's mean; exactly 0 where all are equal."""
    values_PR -= values_PR[:1]
    values_PR -= _sum_products(counts_PR, values_PR) / counts_PR.sum(axis=0)
    return values_PR


def _sum_products(first_PR: Values, second_PR: Values) -> Values:
    total_R: Values = np.einsum("pr,pr->r", first_PR, second_PR)
    return total_R


def _divide(numerator: Values, denominator: Values) -> Values:
    """0 where the denominator is."""
    return np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator > 0)
