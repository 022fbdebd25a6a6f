"""Which of several plans at one budget to take, by a rule of thumb that says what it is. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from bertd.records import Record
from bertd.run.plan.plan_run import RunPlan

PAPER_TOKENS_PER_PARAMETER = 36.0
"""23,000 steps of 4,096 sequences of 128 tokens for 336M parameters. Source: Izsak et al. 2021, section 4."""
ENOUGH_TOKENS_PER_PARAMETER = 30.0
"""About the paper's."""
_MIN_STEPS = 1000
"""Fewer updates waste a batch: no warm-up is left."""


class ComparedPlan(Record):
    """One of the plans."""

    name: str
    plan: RunPlan

    @property
    def tokens_per_parameter(self) -> float:
        return self.plan.tokens / max(1, self.plan.measurements.num_parameters)


class Recommendation(Record):
    """One of several plans."""

    name: str
    reason: str


def recommend(plans: Sequence[ComparedPlan]) -> Recommendation:
    """The largest model that reads about as many tokens per parameter as the paper's; of equal ones that with most.

    Where none reads so many, the one that comes nearest: a smaller model learns more in a short time.
    """
    usable = [each for each in plans if each.plan.steps >= _MIN_STEPS] or list(plans)
    fed = [each for each in usable if each.tokens_per_parameter >= ENOUGH_TOKENS_PER_PARAMETER]
    if fed:
        best = max(fed, key=lambda each: (each.plan.measurements.num_parameters, each.plan.tokens))
        reason = (
            f"the largest model that reads enough: {best.tokens_per_parameter:,.0f} tokens per parameter, of which the "
            f"paper's had {PAPER_TOKENS_PER_PARAMETER:.0f}"
        )
    else:
        best = max(usable, key=lambda each: each.tokens_per_parameter)
        reason = (
            f"none reads {ENOUGH_TOKENS_PER_PARAMETER:.0f} tokens per parameter (the paper's had "
            f"{PAPER_TOKENS_PER_PARAMETER:.0f}); this one comes "
            f"nearest, with {best.tokens_per_parameter:,.2g}"
        )
    skipped = [each.name for each in plans if each not in usable]
    few = f"; {', '.join(skipped)}: fewer than {_MIN_STEPS:,} steps" if skipped else ""
    return Recommendation(name=best.name, reason=f"{reason}{few}. A rule of thumb, no forecast of the loss")
