"""How a grid ended, or how far it is, from its trials. Pure."""

from __future__ import annotations

from collections import Counter
from typing import Literal

from bertd.jobs.runner.grid.trial_table import TrialTable
from bertd.records import GridRecord, GridSpec, GridTrial, JobState, Outcome
from bertd.run.grid.grid_schedule import TimeLeft

TrialOutcome = Literal["scored", "diverged", "failed", "dropped"]


def make_grid_record(
    spec: GridSpec,
    table: TrialTable,
    *,
    t: float,
    time_left: TimeLeft,
    trial: GridTrial | None = None,
    outcome: TrialOutcome | None = None,
    detail: str = "",
) -> GridRecord:
    """How far a grid is.

    Args:
        spec: the grid.
        table: its trials; one that has just got its score is in it, one that has just ended without is not.
        t: time of day.
        time_left: until it is over.
        trial: that has just ended.
        outcome: of that.
        detail: why it has no score.
    """
    outcomes: Counter[TrialOutcome | None] = Counter(record.outcome for record in table.unscored.values())
    if outcome is not None and outcome != "scored":
        outcomes[outcome] += 1
    return GridRecord(
        t=t,
        step=len(table.scored) + outcomes.total(),
        num_trials=len(spec.trials),
        num_failed=outcomes["diverged"] + outcomes["failed"],
        num_dropped=outcomes["dropped"],
        trial=trial and trial.name,
        outcome=outcome,
        detail=detail,
        remaining_s=None if time_left.unmeasured else time_left.seconds,
        unmeasured=list(time_left.unmeasured),
    )


def find_grid_outcome(
    spec: GridSpec, table: TrialTable, *, fatal: Outcome | None, stop_requested: bool, shutdown_requested: bool
) -> Outcome:
    """The outcome of a grid whose workers are gone.

    Args:
        spec: the grid.
        table: its trials.
        fatal: why it cannot go on.
        stop_requested: by a person.
        shutdown_requested: its runner was told to end.
    """
    scored = f"{len(table.scored)} of {len(spec.trials)} trials have a score"
    if fatal is not None:
        return fatal.model_copy(update={"reason": f"{fatal.reason}; {scored}"})
    num_left = len(spec.trials) - table.num_over
    if num_left and stop_requested:
        return Outcome(state=JobState.CANCELLED, reason=f"stopped by a person; {scored}", exit_code=0)
    if num_left and shutdown_requested:
        return Outcome(state=JobState.PAUSED, reason=f"its runner was stopped; {scored}", exit_code=0)
    unscored = table.unscored.values()
    failed = [record for record in unscored if record.outcome == "failed"]
    if failed:
        first = f"{failed[0].trial}: {failed[0].detail}"
        reason = f"{scored}; {len(failed)} failed, `bertd resume` tries them again; the first: {first}"
        return Outcome(state=JobState.FAILED, reason=reason, exit_code=1)
    numbers = Counter(str(record.outcome) for record in unscored)
    rest = "".join(f"; {number} {outcome}" for outcome, number in sorted(numbers.items()))
    return Outcome(state=JobState.DONE, reason=f"{scored}{rest}", exit_code=0)
