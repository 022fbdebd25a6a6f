"""Which state may follow which, and who makes the move."""

from __future__ import annotations

from bertd.errors import TransitionError
from bertd.jobs.store.lifecycle.states import Actor
from bertd.records import JobState

_P, _S, _R = Actor.PERSON, Actor.SCHEDULER, Actor.RUNNER

TRANSITIONS: dict[JobState, dict[JobState, frozenset[Actor]]] = {
    JobState.QUEUED: {
        # By the scheduler: a job that it waits for did not end as it needs.
        JobState.HELD: frozenset({_P, _S}),
        JobState.STARTING: frozenset({_S}),
        # By the scheduler: its sweep has dropped it.
        JobState.CANCELLED: frozenset({_P, _S}),
        # Its runner could not be started.
        JobState.FAILED: frozenset({_S}),
        # Its folder is gone.
        JobState.LOST: frozenset({_S}),
    },
    JobState.HELD: {
        # Released; or stopped with something to export, for which it must get devices.
        JobState.QUEUED: frozenset({_P}),
        JobState.CANCELLED: frozenset({_P, _S}),
    },
    JobState.STARTING: {
        JobState.RUNNING: frozenset({_R}),
        # The scheduler pauses when the daemon ends.
        JobState.PAUSING: frozenset({_P, _S}),
        JobState.STOPPING: frozenset({_P}),
        # Its runner died, or found the folder locked.
        JobState.QUEUED: frozenset({_S}),
        # Not requested: its runner got a SIGTERM, or suspended ranks are suspended again after a restart.
        JobState.PAUSED: frozenset({_R, _S}),
        JobState.DONE: frozenset({_R}),
        JobState.FAILED: frozenset({_R, _S}),
        JobState.CANCELLED: frozenset({_R, _S}),
        JobState.LOST: frozenset({_S}),
    },
    JobState.RUNNING: {
        # The ranks died and the same runner starts them again: it does not train until their start record is there.
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
        # The disk refused the checkpoint, so the ranks continue to train.
        JobState.RUNNING: frozenset({_R}),
        JobState.STOPPING: frozenset({_P}),
        # Its runner died, and a person had resumed it while it was pausing.
        JobState.QUEUED: frozenset({_S}),
        JobState.PAUSED: frozenset({_R, _S}),
        # The end of the budget came before the pause.
        JobState.DONE: frozenset({_R}),
        JobState.FAILED: frozenset({_R, _S}),
        JobState.CANCELLED: frozenset({_R, _S}),
        JobState.LOST: frozenset({_S}),
    },
    JobState.PAUSED: {
        # By the scheduler: one with the wish to resume, kept since a pause, one that was hot and whose runner died, or
        # one that its sweep lets continue.
        JobState.QUEUED: frozenset({_P, _S}),
        JobState.CANCELLED: frozenset({_P, _R, _S}),
        # The following only for one that is hot, whose ranks read commands like those of a running one.
        JobState.RUNNING: frozenset({_R}),
        JobState.PAUSING: frozenset({_P, _S}),
        JobState.STOPPING: frozenset({_P}),
        # From hot to cold: its ranks saved and exited by themselves, or died. The lease is released too.
        JobState.PAUSED: frozenset({_R, _S}),
        JobState.DONE: frozenset({_R}),
        JobState.FAILED: frozenset({_R, _S}),
        JobState.LOST: frozenset({_S}),
    },
    JobState.STOPPING: {
        # Its runner died, or an earlier pause was applied first: it gets devices again, only to export.
        JobState.QUEUED: frozenset({_S}),
        # The ranks applied a pause that was posted before the stop; the scheduler queues it in the same transaction.
        JobState.PAUSED: frozenset({_R, _S}),
        JobState.DONE: frozenset({_R}),
        JobState.FAILED: frozenset({_R, _S}),
        JobState.CANCELLED: frozenset({_R, _S}),
        JobState.LOST: frozenset({_S}),
    },
    # A failure is not final: its cause can be fixed, and its checkpoints are still there.
    JobState.FAILED: {JobState.QUEUED: frozenset({_P})},
    JobState.LOST: {JobState.QUEUED: frozenset({_P})},
    JobState.DONE: {},
    JobState.CANCELLED: {},
}

REMEDY = {
    JobState.QUEUED: "it waits for devices; hold or stop it",
    JobState.HELD: "release or stop it",
    JobState.STARTING: "wait until it runs; pause or stop it",
    JobState.RUNNING: "pause, checkpoint or stop it",
    JobState.PAUSING: "wait until it is paused",
    JobState.PAUSED: "resume or stop it",
    JobState.STOPPING: "wait until it is over",
    JobState.DONE: "it is over; submit another",
    JobState.FAILED: "it is over; fix the cause and resume it",
    JobState.CANCELLED: "it is over; submit another",
    JobState.LOST: "its runner is gone; resume it",
}
"""What a person can do with a job in that state, as the end of a refusal."""


def check_transition(job_id: int, *, before: JobState, after: JobState, actor: Actor) -> None:
    """Check a move against the table.

    Raises:
        TransitionError: the table has no such move for that actor.
    """
    if actor not in TRANSITIONS[before].get(after, frozenset()):
        raise TransitionError(f"job {job_id}: {before} cannot become {after} by the {actor}; {REMEDY[before]}")
