"""The learning rate follows the budget's progress, whatever the budget."""

from __future__ import annotations

import pytest

from bertd.run.learning_rate import learning_rate_factor
from bertd.run.recipe.schema import ScheduleSection


@pytest.mark.parametrize("curve", ["linear", "cosine", "trapezoid"])
def test_the_rate_is_exactly_zero_at_the_end(curve: str) -> None:
    assert learning_rate_factor(ScheduleSection.model_validate({"curve": curve}), progress=1.0) == 0.0


@pytest.mark.parametrize("curve", ["linear", "cosine", "trapezoid", "exponential"])
def test_a_stated_end_is_met_exactly_and_from_above(curve: str) -> None:
    schedule = ScheduleSection.model_validate({"curve": curve, "end": 0.125})

    factors = [learning_rate_factor(schedule, progress=progress / 100) for progress in range(6, 101)]

    assert factors[-1] == 0.125
    assert factors == sorted(factors, reverse=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"curve": "exponential"}, "never reaches end = 0"),
        ({"curve": "constant", "end": 0.1}, 'end = 0.1 has no effect on curve = "constant".*leave end out, or use'),
        ({"curve": "trapezoid", "warmup": 0.5, "decay": 0.6}, "exceed the budget"),
    ],
)
def test_a_curve_that_cannot_be_drawn_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ScheduleSection.model_validate(options)


def test_the_trapezoid_holds_its_peak_until_it_falls() -> None:
    schedule = ScheduleSection(curve="trapezoid", warmup=0.1, decay=0.25)

    factors = [learning_rate_factor(schedule, progress=progress) for progress in (0.1, 0.5, 0.75, 0.875)]

    assert factors == pytest.approx([1.0, 1.0, 1.0, 0.5])


@pytest.mark.parametrize("curve", ["linear", "cosine", "trapezoid", "constant"])
def test_the_rate_is_continuous_where_warm_up_ends(curve: str) -> None:
    schedule = ScheduleSection.model_validate({"curve": curve, "warmup": 0.25})

    before, after = learning_rate_factor(schedule, progress=0.25 - 1e-9), learning_rate_factor(schedule, progress=0.25)

    assert after == pytest.approx(1.0)
    assert before == pytest.approx(1.0, abs=1e-6)


def test_the_rate_rises_linearly_and_falls_linearly() -> None:
    schedule = ScheduleSection(curve="linear", warmup=0.2)

    factors = [learning_rate_factor(schedule, progress=progress) for progress in (0.0, 0.1, 0.2, 0.6, 1.0)]

    assert factors == pytest.approx([0.0, 0.5, 1.0, 0.5, 0.0])


def test_without_warm_up_the_rate_starts_at_its_peak() -> None:
    assert learning_rate_factor(ScheduleSection(warmup=0.0), progress=0.0) == 1.0
