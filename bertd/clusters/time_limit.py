"""How long an engine must give a run: what is left of its budget, and what is not charged. Pure."""

from __future__ import annotations

from bertd.errors import RecipeError
from bertd.run.amounts.durations import format_duration
from bertd.run.budget import Budget

START_S = 300.0
"""From the engine's start of the command to the first charged second: Python and bertd from a cold shared disk."""
PAUSE_S = 300.0
"""Before the limit a run pauses: the step it is at, the checkpoint, the exit of its processes. The launcher kills ranks
that have not paused after 150 s."""
MIN_TRAINING_S = 300.0
"""Of a limit that is given: less would be spent on starts and pauses alone."""


def limit_for(budget: Budget, *, charged_s: float, given_s: float | None) -> float:
    """Seconds of wall-clock time: the budget left + START_S + PAUSE_S, or what is given if that is less.

    Args:
        budget: granted.
        charged_s: so far.
        given_s: the longest that the engine allows; the run is then continued in another job.

    Raises:
        RecipeError: the budget is of steps or sequences and no limit is given, or one in which no run can train.
    """
    if given_s is not None and given_s < START_S + PAUSE_S + MIN_TRAINING_S:
        raise RecipeError(
            f"--time-limit: {format_duration(given_s)}: the start and the pause before the limit take up to "
            f"{format_duration(START_S + PAUSE_S)}; give {format_duration(START_S + PAUSE_S + MIN_TRAINING_S)} or more"
        )
    if budget.total_s is None:
        if given_s is None:
            raise RecipeError(
                f"budget: {budget.amount:g} {budget.unit} last as long as they take; give --time-limit, such as "
                "--time-limit 24h: a run that is not done then is continued in another job"
            )
        return given_s
    needed_s = max(0.0, budget.total_s - charged_s) + START_S + PAUSE_S
    return needed_s if given_s is None else min(needed_s, given_s)
