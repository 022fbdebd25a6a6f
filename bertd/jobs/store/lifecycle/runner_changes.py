"""What a runner's outcome and the records of its journal do with a job."""

from __future__ import annotations

from bertd.jobs.store.lifecycle.states import JobChange, JobStatus
from bertd.records import (
    CommandKind,
    CommandRecord,
    GridRecord,
    JobState,
    JournalRecord,
    RestartRecord,
    StartRecord,
    StateRecord,
)


def changes_by_outcome(
    status: JobStatus, state: JobState, reason: str, *, job_id: int, is_stopping: bool
) -> tuple[JobChange, ...]:
    """The runner's outcome and, after a pause with a later resume or stop, the move back into the queue.

    Args:
        state: of the outcome.
        reason: of the outcome.
        is_stopping: the daemon ends, so nothing goes back into the queue.
    """
    if state is not JobState.PAUSED:
        return (JobChange(state, reason),)
    if status.wants_resume and is_stopping:
        reason = "the daemon was shut down; resumes by itself when the daemon starts again"
    elif "bertd resume" not in reason:
        reason = f"{reason}; `bertd resume {job_id}` continues"
    paused = JobChange(JobState.PAUSED, reason)
    if status.state is JobState.STOPPING:
        reason = "stopped while it paused: validates and exports as soon as it has devices"
        return paused, JobChange(JobState.QUEUED, reason)
    if status.wants_resume and not is_stopping:
        reason = "was to resume after its pause; waits for its turn"
        return paused, JobChange(JobState.QUEUED, reason, wants_resume=False)
    return (paused,)


def change_by_record(status: JobStatus, record: JournalRecord) -> JobChange | None:
    """The change that a record of its journal causes; None for no change."""
    match record:
        case StartRecord() if status.state is JobState.STARTING:
            return JobChange(JobState.RUNNING, f"trains since step {record.step}" if record.step else "trains")
        case RestartRecord():
            return _change_by_restart(status, f"restarts from step {record.from_step}: {record.cause}")
        case GridRecord():
            return _change_by_grid(status, _grid_reason(record))
        case StateRecord():
            return _change_by_suspension(status, record)
        case CommandRecord():
            return _change_by_answer(status, record)
    return None


def _change_by_restart(status: JobStatus, reason: str) -> JobChange | None:
    if status.state is JobState.STARTING:
        return JobChange(reason=reason)
    if status.state is JobState.RUNNING:
        return JobChange(JobState.STARTING, reason, wants_resume=False)
    return None


def _grid_reason(record: GridRecord) -> str:
    dropped = f", {record.num_dropped} of them dropped" if record.num_dropped else ""
    over = f"finetunes: {record.step} of {record.num_trials} trials are over{dropped}"
    if not record.unmeasured:
        return over
    return f"{over}; time to finish unknown until the first trial of {', '.join(record.unmeasured)}"


def _change_by_grid(status: JobStatus, reason: str) -> JobChange | None:
    if status.state is JobState.STARTING:
        return JobChange(JobState.RUNNING, reason)
    return JobChange(reason=reason) if status.state is JobState.RUNNING else None


def _change_by_suspension(status: JobStatus, record: StateRecord) -> JobChange | None:
    if record.is_hot and status.state in (JobState.STARTING, JobState.RUNNING, JobState.PAUSING):
        # If a person resumed it before its ranks were suspended, they read the command only from here on.
        command = CommandKind.RESUME if status.wants_resume else None
        return JobChange(JobState.PAUSED, f"hot: {record.reason}", command=command)
    if record.state is JobState.RUNNING and status.is_hot:
        # The wish stays until the answer to the command: the ranks may die in between.
        return JobChange(JobState.RUNNING, record.reason)
    return None


def _change_by_answer(status: JobStatus, record: CommandRecord) -> JobChange | None:
    if record.verb is CommandKind.RESUME and status.state is JobState.RUNNING:
        return JobChange(wants_resume=False)
    if record.verb is CommandKind.PAUSE and record.outcome != "done" and status.state is JobState.PAUSING:
        # The disk refused: a person can pause it again.
        reason = f"continues to train, since it cannot be paused: {record.detail}"
        return JobChange(JobState.RUNNING, reason, wants_resume=False)
    return None
