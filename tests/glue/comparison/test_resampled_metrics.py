"""bertd.glue.comparison.resampled_metrics: as the metrics of one set, of many resamples at once."""

from __future__ import annotations

import numpy as np
import pytest

from bertd.glue.comparison.resampled_metrics import resample_scores
from bertd.glue.metrics import METRICS, Values

NUMBERS = ("pearson", "spearman")


def draw_trials(metric: str, *, num_classes: int, size: int = 150) -> tuple[Values, Values]:
    """Predictions TN with ties and a constant trial, and labels N."""
    draw = np.random.default_rng(3)
    if metric in NUMBERS:
        true = np.round(draw.normal(size=size), 1)
        noisy = [np.round(true + draw.normal(size=size), 1) for _ in range(2)]
    else:
        true = draw.integers(num_classes, size=size).astype(float)
        noisy = [np.where(draw.random(size) < 0.7, true, draw.integers(num_classes, size=size)) for _ in range(2)]
    return np.stack([*noisy, np.ones(size)]), true


@pytest.mark.parametrize("num_classes", [2, 4])
@pytest.mark.parametrize("metric", METRICS)
def test_scores_of_resamples_equal_the_metric_of_the_drawn_examples(metric: str, num_classes: int) -> None:
    predicted_TN, true_N = draw_trials(metric, num_classes=num_classes)
    scores_RT = resample_scores(metric, predicted_TN, true_N, num_resamples=6, generator=np.random.default_rng(7))

    patterns, counts_P = np.unique(np.vstack([true_N, predicted_TN]), axis=1, return_counts=True)
    drawn_RP = np.random.default_rng(7).multinomial(true_N.size, counts_P / true_N.size, size=6)
    for scores_T, drawn_P in zip(scores_RT, drawn_RP, strict=True):
        assert drawn_P.sum() == true_N.size
        true, *predicted = np.repeat(patterns, drawn_P, axis=1)
        assert scores_T == pytest.approx([METRICS[metric](each, true) for each in predicted], abs=1e-12)


def test_examples_that_look_alike_are_drawn_as_the_examples_they_are() -> None:
    # Two patterns for 1,000 examples: the spread over resamples is that of a binomial share.
    true_N = np.ones(1_000)
    predicted_TN = (np.arange(1_000) < 800).astype(float)[None]
    scores_RT = resample_scores(
        "accuracy", predicted_TN, true_N, num_resamples=4_000, generator=np.random.default_rng(1)
    )
    assert scores_RT.mean() == pytest.approx(0.8, abs=0.002)
    assert scores_RT.std() == pytest.approx((0.8 * 0.2 / 1_000) ** 0.5, rel=0.05)
