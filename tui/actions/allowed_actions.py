"""Which actions the shown state allows, so that a key that would be refused is greyed and says why.

The daemon decides; this follows its table of actions (bertd/jobs/store/lifecycle/actions.py), which a test compares.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from bertd.records import JobKind, JobState, PauseKind
from bertd.run.amounts.durations import format_duration
from bertd.terminal_text import terminal_line
from tui.display_options import DisplayOptions
from tui.snapshot import LinkState, Snapshot

if TYPE_CHECKING:
    from bertd.api.models import JobView


class Action(StrEnum):
    """What a key does to a job."""

    PAUSE = "pause"
    PAUSE_HOT = "pause hot"
    RESUME = "resume"
    CHECKPOINT = "checkpoint"
    FINETUNE = "finetune"
    STOP = "stop"
    HOLD = "hold"
    RELEASE = "release"
    PRIORITIZE = "change the priority of"
    BUDGET = "change the budget of"
    NEW_RUN = "queue"


_PRETRAIN_ONLY = {Action.PAUSE, Action.PAUSE_HOT, Action.CHECKPOINT, Action.BUDGET}
_WAITING = {JobState.QUEUED, JobState.HELD, JobState.PAUSED}
_ALLOWED_STATES = {
    Action.PAUSE: {JobState.STARTING, JobState.RUNNING},
    Action.PAUSE_HOT: {JobState.STARTING, JobState.RUNNING},
    Action.RESUME: {JobState.PAUSING, JobState.PAUSED, JobState.FAILED, JobState.LOST},
    Action.CHECKPOINT: {JobState.RUNNING},
    Action.STOP: _WAITING | {JobState.STARTING, JobState.RUNNING, JobState.PAUSING},
    Action.HOLD: {JobState.QUEUED},
    Action.RELEASE: {JobState.HELD},
    Action.PRIORITIZE: _WAITING,
    Action.BUDGET: set(JobState) - {JobState.STOPPING, JobState.DONE, JobState.CANCELLED},
}
_ALLOWED_HOT = {Action.PAUSE, Action.RESUME, Action.CHECKPOINT, Action.STOP, Action.BUDGET}
"""For a suspended run, whose ranks read commands; its p key resumes it."""


def pause_or_resume(job: JobView | None) -> Action:
    """What p does to this job."""
    return Action.RESUME if job is not None and job.state in _ALLOWED_STATES[Action.RESUME] else Action.PAUSE


def refusal(action: Action, job: JobView | None, snapshot: Snapshot, options: DisplayOptions) -> str:
    """Why the action cannot be done now, as a sentence; empty if it can."""
    if problem := refusal_of_all(snapshot, options):
        return problem
    if action is Action.NEW_RUN:
        return ""
    if job is None:
        return "There is no job to act on."
    if action is Action.FINETUNE:
        return ""
    state = f"{job.state}, hot" if job.pause is PauseKind.HOT else str(job.state)
    if action in _PRETRAIN_ONLY and job.kind is not JobKind.PRETRAIN:
        return f"Job {job.id} is a {job.kind}; only a pretraining can {action}."
    is_allowed = action in _ALLOWED_HOT if job.pause is PauseKind.HOT else job.state in _ALLOWED_STATES[action]
    return "" if is_allowed else terminal_line(f"Job {job.id}, {job.name}, is {state}: no key can {action} it now.")


def refusal_of_all(snapshot: Snapshot, options: DisplayOptions) -> str:
    """Why nothing at all can be done now, as a sentence; empty if something can."""
    if snapshot.link.state is LinkState.REPLAY:
        return "This is a replay of a journal; there is no run here to act on."
    if options.is_readonly:
        return "This view is read-only; start bert-tui without --readonly to act."
    link = snapshot.link
    if link.is_fresh:
        return snapshot.role_problem
    if link.state is LinkState.CONNECTING and not link.problem:
        return "The daemon has not answered yet, so nothing was done; press it again."
    if link.state is not LinkState.LIVE:
        return f"No daemon answers, so nothing was done. {link.problem}".rstrip()
    return f"The daemon has been silent for {format_duration(link.silent_s)}, so nothing was done; try again later."
