"""Scales cover their values and have round ends and ticks."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui.drawing.ticks import Scale, labels, linear_scale, log_scale, round_step

_VALUES = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20)


@given(values=_VALUES)
def test_a_linear_scale_holds_every_value(values: list[float]) -> None:
    scale = linear_scale(values)
    assert all(-1e-6 <= scale.share(value) <= 1 + 1e-6 for value in values)


@given(values=st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=20))
def test_a_logarithmic_scale_holds_every_positive_value(values: list[float]) -> None:
    scale = log_scale(values)
    assert all(-1e-6 <= scale.share(value) <= 1 + 1e-6 for value in values)


@given(values=_VALUES, num_ticks=st.integers(2, 12))
def test_ticks_are_within_their_scale_and_ascend(values: list[float], num_ticks: int) -> None:
    scale = linear_scale(values)
    ticks = scale.ticks(num_ticks)
    assert ticks == sorted(ticks)
    assert all(-1e-6 <= scale.share(tick) <= 1 + 1e-6 for tick in ticks)
    assert len(ticks) <= num_ticks + 1


def test_a_scale_stays_while_values_drift_a_little() -> None:
    assert linear_scale([2.11, 4.02]) == linear_scale([2.13, 4.07])


def test_a_scale_of_nothing_finite_still_draws() -> None:
    scale = linear_scale([math.nan, math.inf])
    assert scale.low < scale.high


@pytest.mark.parametrize(("rough", "step"), [(0.9, 1.0), (1.0, 1.0), (0.013, 0.02), (0.023, 0.025), (3.0, 5.0)])
def test_steps_are_round(rough: float, step: float) -> None:
    assert round_step(rough) == pytest.approx(step)


@pytest.mark.parametrize(
    ("ticks", "texts"),
    [
        ([2.0, 2.5, 3.0], ["2.0", "2.5", "3.0"]),
        ([0.0, 1000.0, 2000.0], ["0", "1,000", "2,000"]),
        ([0.0, 1e-3, 2e-3], ["0", "1e-3", "2e-3"]),
        ([0.25, 0.5], ["0.25", "0.50"]),
        ([], []),
    ],
)
def test_labels_have_the_decimals_that_tell_them_apart(ticks: list[float], texts: list[str]) -> None:
    assert labels(ticks) == texts


def test_a_logarithm_has_ticks_at_decades() -> None:
    assert Scale(0.9, 1200.0, is_log=True).ticks(4) == pytest.approx([1.0, 10.0, 100.0, 1000.0])
    assert math.isnan(Scale(1.0, 10.0, is_log=True).share(0.0))
