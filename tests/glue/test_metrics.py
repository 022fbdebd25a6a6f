"""Metrics against their definitions, computed by hand or by brute force."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertd.glue.metrics import METRICS, accuracy, f1, majority_guess, matthews, mean_ranks, pearson, spearman

ZERO_ONE = st.lists(st.tuples(st.sampled_from([0.0, 1.0]), st.sampled_from([0.0, 1.0])), min_size=1, max_size=30)
NUMBERS = st.lists(st.tuples(st.integers(-9, 9), st.integers(-9, 9)), min_size=2, max_size=12)


def _columns(pairs: list[tuple[float, float]]) -> tuple[np.ndarray, np.ndarray]:
    table = np.array(pairs, dtype=np.float64)
    return table[:, 0], table[:, 1]


@given(ZERO_ONE)
def test_matthews_and_f1_equal_their_definition_by_the_confusion_table(pairs: list[tuple[float, float]]) -> None:
    predicted, true = _columns(pairs)
    tp = sum(p == t == 1 for p, t in pairs)
    tn = sum(p == t == 0 for p, t in pairs)
    fp = sum(p > t for p, t in pairs)
    fn = sum(p < t for p, t in pairs)
    below = math.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))
    assert matthews(predicted, true) == pytest.approx((tp * tn - fp * fn) / below if below else 0.0, abs=1e-12)
    assert f1(predicted, true) == pytest.approx(2 * tp / (2 * tp + fp + fn) if tp + fp + fn else 0.0)
    assert accuracy(predicted, true) == pytest.approx((tp + tn) / len(pairs))


@given(NUMBERS)
def test_spearman_equals_counting_smaller_and_equal_values(pairs: list[tuple[float, float]]) -> None:
    predicted, true = _columns(pairs)

    def brute_ranks(values: np.ndarray) -> list[float]:
        return [sum(other < value for other in values) + (sum(values == value) + 1) / 2 for value in values]

    assert mean_ranks(predicted).tolist() == brute_ranks(predicted)
    a, b = brute_ranks(predicted), brute_ranks(true)
    mean_a, mean_b = sum(a) / len(a), sum(b) / len(b)
    above = sum((x - mean_a) * (y - mean_b) for x, y in zip(a, b, strict=True))
    below = math.sqrt(sum((x - mean_a) ** 2 for x in a) * sum((y - mean_b) ** 2 for y in b))
    assert spearman(predicted, true) == pytest.approx(above / below if below else 0.0, abs=1e-12)


def test_pearson_of_anscombes_quartet_is_the_published_one() -> None:
    x = np.array([10.0, 8, 13, 9, 11, 14, 6, 4, 12, 7, 5])
    y = np.array([8.04, 6.95, 7.58, 8.81, 8.33, 9.96, 7.24, 4.26, 10.84, 4.82, 5.68])
    assert pearson(x, y) == pytest.approx(0.81642, abs=1e-5)


def test_a_guess_that_never_changes_correlates_with_nothing() -> None:
    true = np.array([0.1, 0.7, 0.1 + 0.2, 5.0])
    constant = np.full(4, 0.1 + 0.2)
    assert [METRICS[name](constant, true) for name in ("pearson", "spearman")] == [0.0, 0.0]
    assert matthews(np.ones(4), np.array([0.0, 1.0, 1.0, 0.0])) == 0.0


def test_every_measure_of_a_perfect_guess_is_one() -> None:
    for name, values in itertools.product(METRICS, ([0.0, 1.0, 1.0], [1.0, 0.0])):
        assert METRICS[name](np.array(values), np.array(values)) == pytest.approx(1.0), name


def test_the_majority_guess_is_the_most_common_class_or_the_mean() -> None:
    assert majority_guess(np.array([2.0, 1.0, 2.0, 0.0]), is_class=True) == 2.0
    assert majority_guess(np.array([1.0, 0.0]), is_class=True) == 0.0
    assert majority_guess(np.array([1.0, 2.0, 4.5]), is_class=False) == 2.5
