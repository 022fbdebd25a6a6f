"""The state of a run, as its journal alone tells it. Pure.

The daemon also knows what people asked for and which processes live; so a pause is seen here only when it is done.
"""

from __future__ import annotations

from dataclasses import dataclass

from bertd.records import (
    EndRecord,
    JobState,
    JournalRecord,
    PauseKind,
    RestartRecord,
    StartRecord,
    StateRecord,
)


@dataclass(frozen=True)
class RunState:
    """A run's state and the reason for it."""

    state: JobState = JobState.STARTING
    reason: str = "starts"
    pause: PauseKind | None = None
    started_t: float | None = None
    ended_t: float | None = None


def state_after(before: RunState, record: JournalRecord) -> RunState:
    """The state after one more record."""
    began_t = before.started_t
    match record:
        case StartRecord():
            reason = f"trains since step {record.step}" if record.step else "trains"
            return RunState(JobState.RUNNING, reason, started_t=record.t if began_t is None else began_t)
        case RestartRecord():
            reason = f"restarts from step {record.from_step}: {record.cause}"
            return RunState(JobState.STARTING, reason, started_t=began_t)
        case StateRecord(state=JobState.PAUSED):
            kind = PauseKind.HOT if record.is_hot else PauseKind.COLD
            return RunState(JobState.PAUSED, record.reason, pause=kind, started_t=began_t)
        case StateRecord():
            return RunState(record.state, record.reason, started_t=began_t)
        case EndRecord():
            state = JobState.FAILED if record.reason == "failed" else JobState.DONE
            return RunState(state, record.detail, started_t=began_t, ended_t=record.t)
    return before
