"""Metrics against their definitions, computed by hand or by brute force."""

from __future__ import annotations

import itertools
import math
import subprocess
import sys
import warnings
from collections.abc import Callable

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics
from hypothesis import given
from hypothesis import strategies as st

from bertd.errors import NumericsError
from bertd.glue.metrics import (
    METRICS,
    accuracy,
    compute_metric,
    f1,
    macro_f1,
    majority_guess,
    matthews,
    pearson,
    spearman,
)

ZERO_ONE = st.lists(st.tuples(st.sampled_from([0.0, 1.0]), st.sampled_from([0.0, 1.0])), min_size=1, max_size=30)
NUMBERS = st.lists(st.tuples(st.integers(-9, 9), st.integers(-9, 9)), min_size=2, max_size=12)


def _columns(pairs: list[tuple[float, float]]) -> tuple[np.ndarray, np.ndarray]:
    table = np.array(pairs, dtype=np.float64)
    return table[:, 0], table[:, 1]


def _f1(predicted: np.ndarray, true: np.ndarray) -> float:
    return float(sklearn.metrics.f1_score(true, predicted, zero_division=0))


def _macro_f1(predicted: np.ndarray, true: np.ndarray) -> float:
    return float(sklearn.metrics.f1_score(true, predicted, average="macro", zero_division=0))


def _accuracy(predicted: np.ndarray, true: np.ndarray) -> float:
    return float(sklearn.metrics.accuracy_score(true, predicted))


def _matthews(predicted: np.ndarray, true: np.ndarray) -> float:
    return float(sklearn.metrics.matthews_corrcoef(true, predicted))


def _pearson(predicted: np.ndarray, true: np.ndarray) -> float:
    return _zero_for_nan(float(scipy.stats.pearsonr(predicted, true).statistic))


def _spearman(predicted: np.ndarray, true: np.ndarray) -> float:
    return _zero_for_nan(float(scipy.stats.spearmanr(predicted, true).statistic))


def _zero_for_nan(value: float) -> float:
    """SciPy's NaN is of a constant, which has no correlation."""
    return 0.0 if math.isnan(value) else value


CLASS_PEERS: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "accuracy": _accuracy,
    "f1": _f1,
    "macro_f1": _macro_f1,
    "matthews": _matthews,
}
NUMBER_PEERS = {"pearson": _pearson, "spearman": _spearman}


@given(st.integers(1, 40), st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_metrics_of_classes_equal_scikit_learns(size: int, num_classes: int, seed: int) -> None:
    # One class draws constants; two classes are what F1 is defined for.
    generator = np.random.default_rng(seed)
    predicted, true = generator.integers(0, num_classes, (2, size)).astype(np.float64)
    for name, peer in CLASS_PEERS.items():
        if name != "f1" or num_classes <= 2:
            with warnings.catch_warnings(action="ignore"):
                expected = peer(predicted, true)
            assert compute_metric(name, predicted, true) == pytest.approx(expected, abs=1e-12), name


@given(st.integers(2, 40), st.sampled_from([1, 2, 3, 100, 2**30]), st.integers(0, 2**32 - 1))
def test_correlations_equal_scipys(size: int, num_values: int, seed: int) -> None:
    # One value draws constants; few values draw ties.
    generator = np.random.default_rng(seed)
    predicted, true = generator.integers(0, num_values, (2, size)) / 7 - 3
    for name, peer in NUMBER_PEERS.items():
        with warnings.catch_warnings(action="ignore"):
            expected = peer(predicted, true)
        assert compute_metric(name, predicted, true) == pytest.approx(expected, abs=1e-12), name


def test_every_metric_is_compared_with_a_package() -> None:
    assert {*CLASS_PEERS, *NUMBER_PEERS} == set(METRICS)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("scale", [1e308, 1e200, 1e-200, 1e-307, -1e308])
def test_correlations_of_huge_and_of_tiny_values_are_those_of_moderate_ones(scale: float) -> None:
    predicted, true = np.array([1.7, -1.7, 1.7, 0.0, 0.9]), np.array([1.0, 0.5, -1.0, 0.25, 1.0])
    for name in NUMBER_PEERS:
        expected = math.copysign(1, scale) * compute_metric(name, predicted, true)
        assert compute_metric(name, predicted * scale, true) == pytest.approx(expected, abs=1e-12), name
        assert compute_metric(name, true, predicted * scale) == pytest.approx(expected, abs=1e-12), name


def test_correlations_of_nearly_constant_values_are_finite() -> None:
    # An ulp apart in fp32, as the predictions of a collapsed regression are, a correlation is exact in fp64.
    predicted, true = (
        np.array([2.7, 2.7, np.nextafter(np.float32(2.7), 3)], dtype=np.float32).astype(float),
        np.arange(3.0),
    )
    assert pearson(predicted, true) == pytest.approx(math.sqrt(3) / 2)
    predicted[:] = [1.0, 1.0, np.nextafter(1.0, 2)]
    with warnings.catch_warnings(action="ignore"):
        assert abs(pearson(predicted, true)) <= 1
    assert spearman(predicted, true) == pytest.approx(math.sqrt(3) / 2)


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


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=30))
def test_more_than_two_classes_are_scored_by_the_definitions(pairs: list[tuple[int, int]]) -> None:
    predicted, true = _columns([(float(p), float(t)) for p, t in pairs])
    by_class = []
    for label in sorted({value for pair in pairs for value in pair}):
        hits = sum(p == t == label for p, t in pairs)
        num_given = sum((p == label) + (t == label) for p, t in pairs)
        by_class.append(2 * hits / num_given)
    assert macro_f1(predicted, true) == pytest.approx(sum(by_class) / len(by_class))
    # Gorodkin 2004: the covariance of the two as one-hot rows, over the root of the product of their variances.
    p_rows, t_rows = np.eye(4)[predicted.astype(int)], np.eye(4)[true.astype(int)]
    p_rows, t_rows = p_rows - p_rows.mean(axis=0), t_rows - t_rows.mean(axis=0)
    below = math.sqrt((p_rows**2).sum() * (t_rows**2).sum())
    expected = float((p_rows * t_rows).sum()) / below if below > 1e-9 else 0.0
    assert matthews(predicted, true) == pytest.approx(expected, abs=1e-9)


def test_metrics_of_a_small_table_are_those_computed_by_hand() -> None:
    # tp 2, tn 1, fp 1, fn 1.
    predicted, true = np.array([1.0, 1, 1, 0, 0]), np.array([1.0, 1, 0, 1, 0])
    assert compute_metric("accuracy", predicted, true) == 0.6
    assert compute_metric("f1", predicted, true) == pytest.approx(2 / 3)
    assert compute_metric("macro_f1", predicted, true) == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert compute_metric("matthews", predicted, true) == pytest.approx((2 * 1 - 1 * 1) / math.sqrt(3 * 3 * 2 * 2))
    a, b = np.array([1.0, 2, 3, 4]), np.array([1.0, 3, 2, 10])
    assert compute_metric("spearman", a, b) == pytest.approx(1 - 6 * 2 / (4 * 15))
    assert compute_metric("pearson", a, b) == pytest.approx(13 / math.sqrt(5 * 50))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", ["f1", "matthews", "pearson", "spearman"])
@pytest.mark.parametrize("size", [1, 2, 7])
def test_constant_predictions_or_labels_score_zero_without_a_warning(name: str, size: int) -> None:
    zeros, mixed = np.zeros(size), np.arange(size, dtype=np.float64) % 2
    assert compute_metric(name, zeros, mixed) == 0.0
    assert compute_metric(name, mixed, zeros) == 0.0
    assert compute_metric(name, zeros, zeros) == 0.0


@pytest.mark.filterwarnings("error")
def test_a_constant_guess_has_the_accuracy_and_the_macro_f1_of_its_class() -> None:
    zeros, ones, mixed = np.zeros(4), np.ones(4), np.array([0.0, 0.0, 0.0, 1.0])
    assert compute_metric("accuracy", zeros, mixed) == compute_metric("accuracy", mixed, zeros) == 0.75
    # Class 0: 3 true and 1 false positive, F1 6/7. Class 1: F1 0.
    assert compute_metric("macro_f1", zeros, mixed) == pytest.approx(3 / 7)
    assert compute_metric("macro_f1", mixed, zeros) == pytest.approx(3 / 7)
    for name in ("accuracy", "macro_f1"):
        assert compute_metric(name, zeros, ones) == 0.0
        assert compute_metric(name, zeros, zeros) == compute_metric(name, ones, ones) == 1.0


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_value_that_is_not_finite_is_an_error_that_names_it(name: str, bad: float) -> None:
    good, damaged = np.array([0.0, 1, 1]), np.array([0.0, bad, 1])
    with pytest.raises(NumericsError, match=rf"{name}: prediction 2 of 3 is {bad}"):
        compute_metric(name, damaged, good)
    with pytest.raises(NumericsError, match=rf"{name}: label 2 of 3 is {bad}"):
        compute_metric(name, good, damaged)
    with pytest.raises(NumericsError, match="2 predictions for 3 labels"):
        compute_metric(name, good[:2], good)


def test_the_packages_of_metrics_are_loaded_by_the_metrics_that_need_them() -> None:
    code = (
        "import sys, numpy, bertd.glue.job\n"
        "from bertd.glue.metrics import compute_metric\n"
        "for name in ('sklearn', 'scipy'): sys.modules[name] = None\n"
        "assert compute_metric('accuracy', numpy.ones(2), numpy.ones(2)) == 1"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_measure_of_a_perfect_guess_is_one() -> None:
    for name, values in itertools.product(METRICS, ([0.0, 1.0, 1.0], [1.0, 0.0])):
        assert METRICS[name](np.array(values), np.array(values)) == pytest.approx(1.0), name


def test_the_majority_guess_is_the_most_common_class_or_the_mean() -> None:
    assert majority_guess(np.array([2.0, 1.0, 2.0, 0.0]), is_class=True) == 2.0
    assert majority_guess(np.array([1.0, 0.0]), is_class=True) == 0.0
    assert majority_guess(np.array([1.0, 2.0, 4.5]), is_class=False) == 2.5
