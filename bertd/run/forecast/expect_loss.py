"""Expect the final loss of a run that has not begun, from runs of the same recipe that are over. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from bertd.records import Record
from bertd.run.forecast.annealing_law import AnnealingLaw
from bertd.run.forecast.earlier_runs import EarlierRun
from bertd.run.forecast.learn_prior import fit_whole_curve
from bertd.run.forecast.rate_areas import Position, rate_areas
from bertd.run.forecast.shipped_prior import ERROR_OF_A_PLAN, SHIPPED_PRIOR
from bertd.run.recipe.schema import ScheduleSection

_POSITIONS = 64
_MAX_STEPS = 10**9
_HALVINGS = 40


class ExpectedLoss(Record):
    """What a budget is expected to end with."""

    loss: float
    """Nats: of the last validation."""
    low: float
    high: float
    """Nats: the 80 % band."""
    basis: str
    """The runs that it comes from."""


def expected_loss_text(expected: ExpectedLoss) -> str:
    """`about 1.93 nats at the end (80 % band 1.89 to 1.97), by 1 finished run of this recipe: 12-fast`."""
    band = f"80 % band {expected.low:.2f} to {expected.high:.2f}"
    return f"about {expected.loss:.2f} nats at the end ({band}), by {expected.basis}"


def expect_loss(runs: Sequence[EarlierRun], section: ScheduleSection, *, steps: int) -> ExpectedLoss | None:
    """The loss at the end of a schedule of so many steps; None without a run that shows the law."""
    laws = _laws(runs)
    if not laws or steps < 1:
        return None
    loss = _final_loss(laws, section, steps=steps)
    margin = ERROR_OF_A_PLAN * loss
    names = ", ".join(name for name, _ in laws)
    basis = f"{len(laws)} finished run{'s' * (len(laws) > 1)} of this recipe: {names}"
    return ExpectedLoss(loss=loss, low=loss - margin, high=loss + margin, basis=basis)


def steps_to_reach(target: float, runs: Sequence[EarlierRun], section: ScheduleSection) -> int | None:
    """The fewest steps whose expected loss is at most `target`; None without a run that shows the law, and if none of
    a thousand million steps does."""
    laws = _laws(runs)
    if not laws or _final_loss(laws, section, steps=_MAX_STEPS) > target:
        return None
    low, high = 0, _MAX_STEPS
    for _ in range(_HALVINGS):
        middle = (low + high) // 2
        if middle == low:
            break
        if _final_loss(laws, section, steps=middle) > target:
            low = middle
        else:
            high = middle
    return high


def _laws(runs: Sequence[EarlierRun]) -> list[tuple[str, AnnealingLaw]]:
    found = [(run.name, fit_whole_curve(run)) for run in runs]
    return [(name, law) for name, law in found if law is not None]


def _final_loss(laws: Sequence[tuple[str, AnnealingLaw]], section: ScheduleSection, *, steps: int) -> float:
    positions = [Position(steps * place / _POSITIONS, place / _POSITIONS) for place in range(1, _POSITIONS + 1)]
    *_, end = rate_areas(positions, section, memory_steps=SHIPPED_PRIOR.memory_steps)
    return max(0.0, statistics.fmean(law.loss(end) for _, law in laws))
