"""A small model of the lifecycle for the state machine of faults: which commands are allowed, and what is wished.

Written independently of bertd.jobs.store.lifecycle, which it tests.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from bertd.jobs.store.lifecycle import JobAction
from bertd.records import JobState

_Q, _H, _S, _R = JobState.QUEUED, JobState.HELD, JobState.STARTING, JobState.RUNNING
_P1, _P2, _ST = JobState.PAUSING, JobState.PAUSED, JobState.STOPPING

_ALLOWED = {
    JobAction.PAUSE: {_S, _R},
    JobAction.RESUME: {_P1, _P2, JobState.FAILED, JobState.LOST},
    JobAction.STOP: {_Q, _H, _S, _R, _P1, _P2},
    JobAction.HOLD: {_Q},
    JobAction.RELEASE: {_H},
    JobAction.CHECKPOINT: {_R},
}
_HELD_ALLOW = {JobAction.PAUSE, JobAction.RESUME, JobAction.STOP, JobAction.CHECKPOINT}
"""Actions allowed for a run whose ranks are suspended."""
_WITH_RANKS = {_S, _R, _P1, _ST}


class Wish(StrEnum):
    """A person's newest wish for a job, as far as faults leave it possible."""

    GO = "go"
    """It is over in the end, or failed."""
    HOT = "hot"
    """It is paused, with its memory."""
    COLD = "cold"
    """It is paused, without its memory."""
    STAND = "stand"
    """It is paused; a fault may have taken its memory."""
    STOP = "stop"
    """It is over in the end, and does no further step."""


@dataclass(frozen=True)
class Known:
    """A job as in the daemon's last answer."""

    state: JobState
    priority: int
    num_devices: int
    is_hot: bool

    @property
    def has_ranks(self) -> bool:
        return self.is_hot or self.state in _WITH_RANKS

    @property
    def is_resizable(self) -> bool:
        """Whether it may continue on another number of devices."""
        return self.state in {_Q, _P2, JobState.FAILED, JobState.LOST} and not self.is_hot

    def allows(self, order: JobAction, *, hot: bool, wish: Wish) -> bool:
        """Whether a command is accepted."""
        if hot and self.is_hot and wish is not Wish.GO:
            # A suspended run cannot be suspended again, but one that was just resumed can.
            return False
        if order is JobAction.RESUME and self.state is _Q:
            # Only one that waits to stop can be resumed.
            return wish is Wish.STOP
        return order in _HELD_ALLOW if self.is_hot else self.state in _ALLOWED[order]

    def states_after(self, order: JobAction) -> set[JobState]:
        """The states that a job may have right after an accepted command."""
        return {
            JobAction.PAUSE: {_P1},
            JobAction.RESUME: {_P1} if self.state is _P1 else {_P2} if self.is_hot else {_Q},
            JobAction.HOLD: {_H},
            JobAction.RELEASE: {_Q},
            JobAction.CHECKPOINT: {self.state},
            JobAction.STOP: {_ST} if self.has_ranks else {JobState.CANCELLED, _Q},
        }[order]


def wish_after(order: JobAction, *, hot: bool, wish: Wish) -> Wish:
    """The wish after an accepted command."""
    asked = {JobAction.PAUSE: Wish.HOT if hot else Wish.COLD, JobAction.RESUME: Wish.GO, JobAction.STOP: Wish.STOP}
    return asked.get(order, wish)
