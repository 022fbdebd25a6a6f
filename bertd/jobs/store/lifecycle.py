"""The one table of job states: what may follow what, and who may ask for it. Pure.

held <-> queued -> starting <-> running -> done | failed | cancelled
           ^            |          |                 ^
           |            v          v                 |
           |       pausing, stopping ----------------+
           |            |                            |
           +-- paused <-+ . . (hot) . . . . . . . . .+   failed and lost go back to queued too, when a person
                                                         resumes them

A job that is paused hot keeps its runner and its lease, so that it may go on or end as a running one does.

A person holds, pauses, resumes and stops. The runner says how the job went. The scheduler starts it, and puts back
into the queue what lost its runner.
"""

from __future__ import annotations

from enum import StrEnum

from bertd.errors import TransitionError
from bertd.records import JobKind, JobState


class Actor(StrEnum):
    """Who moves a job."""

    PERSON = "person"
    SCHEDULER = "scheduler"
    RUNNER = "runner"


class JobAction(StrEnum):
    """What a person may ask of a job."""

    PAUSE = "pause"
    RESUME = "resume"
    CHECKPOINT = "checkpoint"
    STOP = "stop"
    HOLD = "hold"
    RELEASE = "release"


LIVE = frozenset({JobState.STARTING, JobState.RUNNING, JobState.PAUSING, JobState.STOPPING})
"""A runner has the job."""
ENDED = frozenset({JobState.DONE, JobState.FAILED, JobState.CANCELLED, JobState.LOST})
"""Nothing more happens by itself."""

_P, _S, _R = Actor.PERSON, Actor.SCHEDULER, Actor.RUNNER

TRANSITIONS: dict[JobState, dict[JobState, frozenset[Actor]]] = {
    JobState.QUEUED: {
        JobState.HELD: frozenset({_P}),
        JobState.STARTING: frozenset({_S}),
        JobState.CANCELLED: frozenset({_P}),
        JobState.FAILED: frozenset({_S}),
        JobState.LOST: frozenset({_S}),
    },
    JobState.HELD: {
        JobState.QUEUED: frozenset({_P}),
        JobState.CANCELLED: frozenset({_P}),
    },
    JobState.STARTING: {
        JobState.RUNNING: frozenset({_R}),
        JobState.PAUSING: frozenset({_P, _S}),
        JobState.STOPPING: frozenset({_P}),
        JobState.QUEUED: frozenset({_S}),
        JobState.PAUSED: frozenset({_R, _S}),
        JobState.DONE: frozenset({_R}),
        JobState.FAILED: frozenset({_R, _S}),
        JobState.CANCELLED: frozenset({_R, _S}),
        JobState.LOST: frozenset({_S}),
    },
    JobState.RUNNING: {
        JobState.STARTING: frozenset({_R}),
        JobState.PAUSING: frozenset({_P, _S}),
        JobState.STOPPING: frozenset({_P}),
        JobState.QUEUED: frozenset({_S}),
        JobState.PAUSED: frozenset({_R, _S}),
        JobState.DONE: frozenset({_R}),
        JobState.FAILED: frozenset({_R, _S}),
        JobState.CANCELLED: frozenset({_R, _S}),
        JobState.LOST: frozenset({_S}),
    },
    JobState.PAUSING: {
        JobState.RUNNING: frozenset({_R}),
        JobState.STOPPING: frozenset({_P}),
        JobState.QUEUED: frozenset({_S}),
        JobState.PAUSED: frozenset({_R, _S}),
        JobState.DONE: frozenset({_R}),
        JobState.FAILED: frozenset({_R, _S}),
        JobState.CANCELLED: frozenset({_R, _S}),
        JobState.LOST: frozenset({_S}),
    },
    JobState.PAUSED: {
        JobState.QUEUED: frozenset({_P, _S}),
        JobState.CANCELLED: frozenset({_P, _R}),
        JobState.RUNNING: frozenset({_R}),
        JobState.PAUSING: frozenset({_P, _S}),
        JobState.STOPPING: frozenset({_P}),
        JobState.PAUSED: frozenset({_R, _S}),
        JobState.DONE: frozenset({_R}),
        JobState.FAILED: frozenset({_R, _S}),
        JobState.LOST: frozenset({_S}),
    },
    JobState.STOPPING: {
        JobState.QUEUED: frozenset({_S}),
        JobState.PAUSED: frozenset({_R, _S}),
        JobState.DONE: frozenset({_R}),
        JobState.FAILED: frozenset({_R, _S}),
        JobState.CANCELLED: frozenset({_R, _S}),
        JobState.LOST: frozenset({_S}),
    },
    JobState.FAILED: {JobState.QUEUED: frozenset({_P})},
    JobState.LOST: {JobState.QUEUED: frozenset({_P})},
    JobState.DONE: {},
    JobState.CANCELLED: {},
}

_STATE_AFTER_ACTION: dict[JobAction, dict[JobState, JobState]] = {
    JobAction.PAUSE: {JobState.STARTING: JobState.PAUSING, JobState.RUNNING: JobState.PAUSING},
    JobAction.RESUME: {
        JobState.PAUSED: JobState.QUEUED,
        JobState.FAILED: JobState.QUEUED,
        JobState.LOST: JobState.QUEUED,
        JobState.PAUSING: JobState.PAUSING,
    },
    JobAction.CHECKPOINT: {JobState.RUNNING: JobState.RUNNING},
    JobAction.STOP: {
        JobState.QUEUED: JobState.CANCELLED,
        JobState.HELD: JobState.CANCELLED,
        JobState.PAUSED: JobState.CANCELLED,
        JobState.STARTING: JobState.STOPPING,
        JobState.RUNNING: JobState.STOPPING,
        JobState.PAUSING: JobState.STOPPING,
    },
    JobAction.HOLD: {JobState.QUEUED: JobState.HELD},
    JobAction.RELEASE: {JobState.HELD: JobState.QUEUED},
}

_STATE_AFTER_ACTION_IF_HOT: dict[JobAction, JobState] = {
    JobAction.PAUSE: JobState.PAUSING,
    JobAction.RESUME: JobState.PAUSED,
    JobAction.CHECKPOINT: JobState.PAUSED,
    JobAction.STOP: JobState.STOPPING,
}
"""Of a job that is paused hot: its ranks hear the mailbox, and it runs again when they say so."""

_PRETRAIN_ONLY = {
    JobAction.PAUSE: "only a pretraining keeps checkpoints to go on from; stop it, or let it finish",
    JobAction.CHECKPOINT: "only a pretraining keeps checkpoints",
}

_REMEDY = {
    JobState.QUEUED: "it waits for devices; hold or stop it",
    JobState.HELD: "release or stop it",
    JobState.STARTING: "wait until it runs; pause or stop it",
    JobState.RUNNING: "pause, checkpoint or stop it",
    JobState.PAUSING: "wait until it is paused",
    JobState.PAUSED: "resume or stop it",
    JobState.STOPPING: "wait until it is over",
    JobState.DONE: "it is over; submit another",
    JobState.FAILED: "it is over; mend the cause and resume it",
    JobState.CANCELLED: "it is over; submit another",
    JobState.LOST: "its runner is gone; resume it",
}


def check_transition(job_id: int, *, before: JobState, after: JobState, actor: Actor) -> None:
    """Hold a move against the table.

    Raises:
        TransitionError: the table has no such move for that actor.
    """
    if actor not in TRANSITIONS[before].get(after, frozenset()):
        raise TransitionError(f"job {job_id}: {before} cannot become {after} by the {actor}; {_REMEDY[before]}")


def state_after(action: JobAction, *, job_id: int, kind: JobKind, state: JobState, is_hot: bool = False) -> JobState:
    """The state that a person's order leads to; the same state where the order moves nothing.

    Args:
        is_hot: it is paused and keeps its runner.

    Raises:
        TransitionError: the job's kind or state does not allow the order.
    """
    if kind is not JobKind.PRETRAIN and action in _PRETRAIN_ONLY:
        raise TransitionError(f"job {job_id}: cannot {action} a {kind}: {_PRETRAIN_ONLY[action]}")
    target = _STATE_AFTER_ACTION_IF_HOT.get(action) if is_hot else _STATE_AFTER_ACTION[action].get(state)
    if target is None:
        raise TransitionError(f"job {job_id}: cannot {action} while it is {state}; {_REMEDY[state]}")
    return target
