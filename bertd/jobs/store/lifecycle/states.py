"""The states and sub-states of a job, who moves it, and a change of it as a value."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from bertd.records import CommandKind, JobState


class Actor(StrEnum):
    """Who moves a job."""

    PERSON = "person"
    SCHEDULER = "scheduler"
    RUNNER = "runner"


class JobAction(StrEnum):
    """What a person may do with a job."""

    PAUSE = "pause"
    RESUME = "resume"
    CHECKPOINT = "checkpoint"
    STOP = "stop"
    HOLD = "hold"
    RELEASE = "release"


LIVE = frozenset({JobState.STARTING, JobState.RUNNING, JobState.PAUSING, JobState.STOPPING})
"""A runner has the job."""
MOVABLE = frozenset({JobState.QUEUED, JobState.HELD, JobState.PAUSED})
"""It waits, or may wait again: it has a place in the queue."""
ENDED = frozenset({JobState.DONE, JobState.FAILED, JobState.CANCELLED, JobState.LOST})
"""Nothing more happens by itself."""
FINAL = frozenset({JobState.DONE, JobState.CANCELLED})
"""It cannot be resumed either."""


class SubState(StrEnum):
    """A state with the facts beside it that decide what an action does; see the theory of operation."""

    QUEUED = "queued"
    QUEUED_TO_STOP = "queued to stop"
    """Waits for devices only to validate and export."""
    HELD = "held"
    HELD_TO_STOP = "held to stop"
    """As queued to stop, and held since."""
    STARTING = "starting"
    RUNNING = "running"
    PAUSING = "pausing"
    PAUSING_TO_RESUME = "pausing to resume"
    """Goes back into the queue as soon as it is paused."""
    PAUSED = "paused"
    PAUSED_TO_RESUME = "paused to resume"
    """Paused by the end of the daemon; the next one puts it back into the queue."""
    PAUSED_TO_STOP = "paused to stop"
    """Paused while it was starting in order to stop."""
    SUSPENDED = "suspended"
    """Paused hot: the ranks wait, and keep memory and devices."""
    SUSPENDED_TO_RESUME = "suspended to resume"
    """Resumed, but its ranks have not reported yet that they train."""
    STOPPING = "stopping"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    LOST = "lost"


_TO_STOP = {
    JobState.QUEUED: SubState.QUEUED_TO_STOP,
    JobState.HELD: SubState.HELD_TO_STOP,
    JobState.PAUSED: SubState.PAUSED_TO_STOP,
}
_TO_RESUME = {JobState.PAUSING: SubState.PAUSING_TO_RESUME, JobState.PAUSED: SubState.PAUSED_TO_RESUME}


@dataclass(frozen=True)
class JobStatus:
    """The state of a job, with everything that decides what comes next."""

    state: JobState
    is_hot: bool = False
    """Paused with its lease: the ranks are suspended and keep their memory."""
    wants_resume: bool = False
    """Resumes by itself once it is paused."""
    stop_asked: bool = False
    """A stop is in its mailbox, or was when it ended."""

    @property
    def sub_state(self) -> SubState:
        """The row of the table of actions."""
        if self.is_hot:
            return SubState.SUSPENDED_TO_RESUME if self.wants_resume else SubState.SUSPENDED
        if self.stop_asked and self.state in _TO_STOP:
            return _TO_STOP[self.state]
        if self.wants_resume and self.state in _TO_RESUME:
            return _TO_RESUME[self.state]
        return SubState(self.state.value)


@dataclass(frozen=True)
class JobChange:
    """A change of a job; None leaves a value as it is."""

    state: JobState | None = None
    """The state to move it to, with an event; None to stay, without an event."""
    reason: str | None = None
    """Shown to a person; each move has one."""
    wants_resume: bool | None = None
    stop_asked: bool | None = None
    forgets_losses: bool = False
    """Reset the count of runners that died without an outcome."""
    command: CommandKind | None = None
    """Posted into its mailbox, in the transaction of the change."""
