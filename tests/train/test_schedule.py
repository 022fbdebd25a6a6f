"""The learning rate follows the budget's progress, whatever the budget."""

from __future__ import annotations

import pytest

from bertd.run.recipe import ScheduleSection
from bertd.train.schedule import rate_factor


@pytest.mark.parametrize("curve", ["linear", "cosine"])
def test_the_rate_is_exactly_zero_at_the_end(curve: str) -> None:
    assert rate_factor(ScheduleSection.model_validate({"curve": curve}), progress=1.0) == 0.0


@pytest.mark.parametrize("curve", ["linear", "cosine", "constant"])
def test_the_rate_is_continuous_where_warm_up_ends(curve: str) -> None:
    schedule = ScheduleSection.model_validate({"curve": curve, "warmup": 0.25})

    before, after = rate_factor(schedule, progress=0.25 - 1e-9), rate_factor(schedule, progress=0.25)

    assert after == pytest.approx(1.0)
    assert before == pytest.approx(1.0, abs=1e-6)


def test_the_rate_rises_linearly_and_falls_linearly() -> None:
    schedule = ScheduleSection(curve="linear", warmup=0.2)

    factors = [rate_factor(schedule, progress=progress) for progress in (0.0, 0.1, 0.2, 0.6, 1.0)]

    assert factors == pytest.approx([0.0, 0.5, 1.0, 0.5, 0.0])


def test_without_warm_up_the_rate_starts_at_its_peak() -> None:
    assert rate_factor(ScheduleSection(warmup=0.0), progress=0.0) == 1.0
