"""The areas under the learning rate, against sums over single steps."""

from __future__ import annotations

import math

import pytest

from bertd.run.forecast.rate_areas import Position, rate_areas
from bertd.run.learning_rate import learning_rate_factor
from bertd.run.recipe.schema import ScheduleSection

STEPS, MEMORY = 2000, 150.0


@pytest.mark.parametrize("curve", ["linear", "cosine", "trapezoid", "exponential", "constant"])
def test_they_are_the_sums_over_all_steps_of_the_paper(curve: str) -> None:
    section = ScheduleSection.model_validate(
        {"curve": curve, "warmup": 0.1, "end": 0.0 if curve == "constant" else 0.05}
    )
    places = [Position(step, step / STEPS) for step in range(0, STEPS + 1, 40)]
    found = list(rate_areas(places, section, memory_steps=MEMORY))
    rates = [learning_rate_factor(section, progress=step / STEPS) for step in range(STEPS + 1)]
    momentum = math.exp(-1 / MEMORY)
    area = second_area = falls = 0.0
    for step in range(1, STEPS + 1):
        area += rates[step]
        # The warm-up is no negative fall.
        falls = momentum * falls + max(0.0, rates[step - 1] - rates[step])
        second_area += falls
        if step % 400 == 0:
            areas = found[places.index(Position(step, step / STEPS))]
            assert areas.steps == pytest.approx(area, rel=2e-3)
            assert areas.drop == pytest.approx((1 - momentum) * second_area, abs=4e-3)


def test_a_fall_takes_effect_slowly_and_in_full() -> None:
    section = ScheduleSection(curve="linear", warmup=0.0)
    end = Position(1000, 1.0)
    (soon,) = rate_areas([end], section, memory_steps=1e-3)
    (late,) = rate_areas([end], section, memory_steps=1e6)
    assert soon.drop == pytest.approx(1.0, abs=1e-3) and late.drop == pytest.approx(0.0, abs=1e-2)


def test_a_position_without_steps_before_it_adds_nothing() -> None:
    section = ScheduleSection(curve="linear")
    once, twice = rate_areas([Position(10, 0.5), Position(10, 0.5)], section, memory_steps=MEMORY)
    assert once == twice
