"""What a lend does next, by the states of its run and of its jobs. Pure.

Decided anew at each round from what the database has, so that nothing is forgotten whatever died in between. Each
combination of states has an answer: people and crashes move the run and the jobs at any time.

pausing -> lent -> returning -> over
   |         |                   ^
   |         +-------------------+   the run has ended, or is stopped: it needs no return
   +-----------------------------+   the run could not be paused

A person who resumes the run meanwhile ends the lend: its jobs save and wait in the queue like any other. A person who
stops it does not: it validates and exports when the jobs are over. Jobs that a person holds or ends leave the lend.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bertd.jobs.store.lifecycle import ENDED, JobStatus, SubState
from bertd.records import JobState, LendState

_TRAINS = frozenset({JobState.STARTING, JobState.RUNNING})
_RESUMED = frozenset(
    (SubState.QUEUED, SubState.STARTING, SubState.RUNNING, SubState.PAUSING_TO_RESUME)
    + (SubState.PAUSED_TO_RESUME, SubState.SUSPENDED_TO_RESUME)
)
"""Sub-states of a run that somebody resumed, while it was to stay paused."""
_WORKS = frozenset({JobState.QUEUED, JobState.STARTING, JobState.RUNNING, JobState.PAUSING, JobState.STOPPING})


@dataclass(frozen=True)
class Borrower:
    """A job of the lend that has not left it."""

    job_id: int
    status: JobStatus
    can_start: bool = True
    """Enough of the lent devices are there, and in service; and it waits for no time, no group and no other job."""


@dataclass(frozen=True)
class LendStep:
    """What to do now."""

    state: LendState
    """The lend's from now on."""
    reason: str = ""
    """Of a new state."""
    resumes_run: bool = False
    """Whether the run is to continue; see change_at_return."""
    leaving: frozenset[int] = frozenset()
    """Jobs that are no part of it any more."""
    recalls: bool = False
    """Those that leave save first, because a person wants the run to train."""


def decide(
    state: LendState,
    run: JobStatus,
    borrowers: Sequence[Borrower],
    *,
    may_run: bool = True,
    has_trained: bool = False,
) -> LendStep:
    """The next step of a lend.

    Args:
        state: the lend's; not over.
        run: whose devices are lent.
        borrowers: the jobs that have not left.
        may_run: the run's times allow it to run now.
        has_trained: the run has done a step since it began to return.
    """
    if state is LendState.RETURNING:
        return _return(run, may_run=may_run, has_trained=has_trained)
    everyone = frozenset(borrower.job_id for borrower in borrowers)
    if state is LendState.PAUSING and run.state in _TRAINS:
        return LendStep(LendState.OVER, "the run could not be paused", leaving=everyone)
    if run.sub_state in _RESUMED:
        reason = "a person resumed the run"
        return LendStep(LendState.RETURNING, reason, leaving=everyone, recalls=True)
    leaving = frozenset(borrower.job_id for borrower in borrowers if not _borrows(borrower))
    if everyone - leaving:
        is_paused = state is LendState.LENT or not (run.is_hot or run.state in (JobState.PAUSING, JobState.STOPPING))
        is_lent = is_paused or run.sub_state is SubState.SUSPENDED
        return LendStep(LendState.LENT if is_lent else state, "the run is paused", leaving=leaving)
    return _end(state, run, leaving)


def _borrows(borrower: Borrower) -> bool:
    status = borrower.status
    if status.state is JobState.PAUSED:
        # By the end of the daemon: the next one lets it continue.
        return status.wants_resume
    return status.state in _WORKS and (borrower.can_start or status.state is not JobState.QUEUED)


def _end(state: LendState, run: JobStatus, leaving: frozenset[int]) -> LendStep:
    """Nobody borrows any more."""
    if run.sub_state in (SubState.PAUSED, SubState.SUSPENDED, SubState.PAUSING):
        return LendStep(LendState.RETURNING, "its jobs are over", resumes_run=True, leaving=leaving)
    if run.state is JobState.STOPPING:
        return LendStep(state, leaving=leaving)
    if run.sub_state is SubState.QUEUED_TO_STOP:
        return LendStep(LendState.RETURNING, "its jobs are over, and the run is stopped", leaving=leaving)
    return LendStep(LendState.OVER, f"its jobs are over, and the run is {run.state}", leaving=leaving)


def _return(run: JobStatus, *, may_run: bool, has_trained: bool) -> LendStep:
    """The run is to train again, or to export; nobody borrows any more."""
    if run.state is JobState.RUNNING and has_trained:
        return LendStep(LendState.OVER, "the run trains again")
    if run.state is JobState.QUEUED and not may_run:
        return LendStep(LendState.OVER, "the run waits for its time")
    # Paused by the end of the daemon, or about to be, it continues with the next one.
    is_on_its_way = run.state in _TRAINS | {JobState.QUEUED} or run.sub_state in (
        *(SubState.PAUSING_TO_RESUME, SubState.PAUSED_TO_RESUME, SubState.SUSPENDED_TO_RESUME),
    )
    if is_on_its_way:
        return LendStep(LendState.RETURNING)
    what = "has ended" if run.state in ENDED else f"is {run.state}"
    return LendStep(LendState.OVER, f"the run {what}")
