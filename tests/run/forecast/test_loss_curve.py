"""A curve has the validations that still hold."""

from __future__ import annotations

import math

from bertd.run.forecast.loss_curve import MAX_POINTS, LossCurve
from tests.run.forecast.curves import ENTROPY, restarted, rolled_back, validation


def fold(*records: object) -> LossCurve:
    curve = LossCurve()
    for record in records:
        curve = curve.with_record(record)  # type: ignore[arg-type]
    return curve


def steps(curve: LossCurve) -> list[int]:
    return [point.step for point in curve.points]


def test_what_a_restart_repeats_counts_once() -> None:
    curve = fold(validation(10, 5.0), validation(20, 4.0), restarted(step=10), validation(20, 4.5))
    assert steps(curve) == [10, 20] and curve.points[-1].loss == 4.5
    assert curve.unigram_entropy == ENTROPY


def test_a_rollback_takes_back_what_came_after_its_checkpoint() -> None:
    assert steps(fold(validation(10, 5.0), validation(20, 9.0), rolled_back(step=10, from_step=20))) == [10]


def test_a_loss_that_is_not_finite_or_of_a_part_of_the_set_is_left_out() -> None:
    assert steps(fold(validation(10, math.nan), validation(20, math.inf), validation(30, 4.0, share=0.5))) == []


def test_it_stays_small_and_keeps_first_and_newest() -> None:
    curve = LossCurve()
    for step in range(1, 10 * MAX_POINTS):
        curve = curve.with_record(validation(step, 5.0))
        assert len(curve.points) <= MAX_POINTS
        assert curve.points[-1].step == step and curve.points[0].step == 1
    found = steps(curve)
    assert found == sorted(set(found))
