"""Curves that follow a known law."""

from __future__ import annotations

import math
from typing import Any

from bertd.records import BudgetUnit, RollbackRecord, StartRecord, ValidationRecord
from bertd.run.budget import Budget, BudgetPlan
from bertd.run.forecast.annealing_law import AnnealingLaw
from bertd.run.forecast.loss_curve import LossCurve
from bertd.run.forecast.make_forecast import RunSchedule
from bertd.run.forecast.prior import ErrorQuantile, ForecastPrior
from bertd.run.forecast.rate_areas import Position, rate_areas
from bertd.run.recipe.schema import ScheduleSection
from tests.run.test_progress import start

LAW = AnnealingLaw(floor=1.5, amount=40.0, exponent=0.6, gain=0.4)
PRIOR = ForecastPrior(
    memory_steps=100.0,
    gain=0.4,
    gain_spread=0.05,
    exponent=0.6,
    exponent_spread=0.2,
    noise=0.002,
    errors=(ErrorQuantile(progress=0.25, error=0.02), ErrorQuantile(progress=0.75, error=0.01)),
    basis="a test",
)
ENTROPY = 6.0
STEPS = 4000


def schedule(*, steps: int = STEPS, **keys: Any) -> RunSchedule:
    """A linear schedule over a budget of steps, if `keys` do not say otherwise."""
    plan = BudgetPlan(Budget(unit=BudgetUnit.STEPS, amount=steps, num_devices=1))
    return RunSchedule(ScheduleSection(**keys), plan, reserve=0.0)


def validation(step: int, loss: float, *, share: float = 1.0) -> ValidationRecord:
    """One second a step, 8 sequences."""
    return ValidationRecord(
        t=float(step),
        step=step,
        sequences=8 * step,
        charged_s=float(step),
        progress=0.0,
        loss=loss,
        num_tokens=100,
        unigram_loss=ENTROPY,
        unigram_entropy=ENTROPY,
        seconds=1.0,
        share=share,
    )


def law_losses(places: RunSchedule, steps: list[int], *, law: AnnealingLaw = LAW) -> list[float]:
    """The losses of the law at some steps of a schedule."""
    positions = [Position(step, places.progress(step)) for step in steps]
    return [law.loss(areas) for areas in rate_areas(positions, places.section, memory_steps=PRIOR.memory_steps)]


def law_curve(places: RunSchedule, *, until: float, every: int = 50, law: AnnealingLaw = LAW) -> LossCurve:
    """A validation each `every` steps, up to a share of the budget, all on the law."""
    steps = list(range(every, math.floor(until * places.plan.granted.amount) + 1, every))
    curve = LossCurve()
    for step, loss in zip(steps, law_losses(places, steps, law=law), strict=True):
        curve = curve.with_record(validation(step, loss))
    return curve


def restarted(*, step: int) -> StartRecord:
    """An attempt that resumes from this step."""
    return start(world_size=1).model_copy(update={"step": step})


def rolled_back(*, step: int, from_step: int) -> RollbackRecord:
    """A rollback."""
    return RollbackRecord(
        t=0, step=step, sequences=0, charged_s=0, from_step=from_step, skipped_sequences=0, cause="spike", number=1
    )
