"""Take what is carried over from runs of the same recipe that are over. Pure."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from bertd.records import TypicalLoss
from bertd.run.forecast.annealing_law import AnnealingLaw
from bertd.run.forecast.earlier_runs import EarlierRun
from bertd.run.forecast.make_forecast import fit_curve
from bertd.run.forecast.prior import ForecastPrior
from bertd.run.forecast.shipped_prior import ANY_GAIN, ERRORS_AFTER_A_RUN, SHIPPED_PRIOR

_GAIN_SPREAD = 0.03
_EXPONENT_SPREAD = 0.05
"""Of runs that differ in seed and budget."""


def learn_prior(runs: Sequence[EarlierRun], *, before: ForecastPrior = SHIPPED_PRIOR) -> ForecastPrior:
    """The gain and the exponent of the whole curves of earlier runs; `before` without a run that shows them."""
    laws = [law for run in runs if (law := fit_whole_curve(run, before)) is not None]
    if not laws:
        return before
    names = ", ".join(run.name for run in runs)
    return before.model_copy(
        update={
            "gain": statistics.fmean(law.gain for law in laws),
            "gain_spread": _GAIN_SPREAD,
            "exponent": math.exp(statistics.fmean(math.log(law.exponent) for law in laws)),
            "exponent_spread": _EXPONENT_SPREAD,
            "errors": ERRORS_AFTER_A_RUN,
            "basis": f"{len(laws)} finished run{'s' * (len(laws) > 1)} of this recipe: {names}",
        }
    )


def fit_whole_curve(run: EarlierRun, prior: ForecastPrior = SHIPPED_PRIOR) -> AnnealingLaw | None:
    """The law of a run that is over: its whole fall of the rate shows what that is worth, so any gain is thought
    possible before. None if too few of its validations are past the plateau."""
    return fit_curve(run.curve, run.schedule, prior.model_copy(update=ANY_GAIN))


def typical_loss(runs: Sequence[EarlierRun], *, progress: float) -> TypicalLoss | None:
    """Where runs with the same budget stood at this share of the schedule; None without one."""
    losses = [loss for run in runs if run.is_same_curve and (loss := _loss_at(run, progress)) is not None]
    if not losses:
        return None
    spread = statistics.stdev(losses) if len(losses) > 1 else None
    return TypicalLoss(loss=statistics.fmean(losses), spread=spread, num_runs=len(losses))


def _loss_at(run: EarlierRun, progress: float) -> float | None:
    """Between two validations, along a straight line; None outside of them."""
    places = [run.schedule.progress(run.schedule.spent(point)) for point in run.curve.points]
    pairs = list(zip(places, run.curve.points, strict=True))
    for (begin, before), (end, after) in zip(pairs, pairs[1:], strict=False):
        if begin <= progress <= end:
            share = (progress - begin) / (end - begin) if end > begin else 0.0
            return before.loss + share * (after.loss - before.loss)
    return None
