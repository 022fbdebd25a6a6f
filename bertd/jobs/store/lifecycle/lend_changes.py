"""What a lend does with the run whose devices it lends, and with the jobs that have them."""

from __future__ import annotations

from bertd.jobs.store.lifecycle.states import JobChange, JobStatus, SubState
from bertd.records import CommandKind, JobState


def change_at_lending(status: JobStatus, reason: str, *, hot: bool) -> JobChange | None:
    """The run is to save, or to suspend its ranks; None for one that does not work, and so has nothing to lend."""
    if status.state not in (JobState.STARTING, JobState.RUNNING):
        return None
    command = CommandKind.SUSPEND if hot else CommandKind.PAUSE
    return JobChange(JobState.PAUSING, reason, wants_resume=False, command=command)


def change_at_return(status: JobStatus, reason: str) -> JobChange | None:
    """The jobs are over: the run continues; None for one that a person has stopped, held, resumed or ended."""
    match status.sub_state:
        case SubState.PAUSED:
            return JobChange(JobState.QUEUED, reason, wants_resume=False, forgets_losses=True)
        case SubState.PAUSING:
            # The jobs were cancelled before it had saved.
            return JobChange(reason=reason, wants_resume=True)
        case SubState.SUSPENDED:
            # The wish stays until it trains, as after a person's resume.
            return JobChange(reason=reason, wants_resume=True, command=CommandKind.RESUME)
    return None


def change_at_recall(status: JobStatus, reason: str) -> JobChange | None:
    """A person wants the run back: a job that has its devices saves, and waits for others; None for one without."""
    if status.state not in (JobState.STARTING, JobState.RUNNING):
        return None
    return JobChange(JobState.PAUSING, reason, wants_resume=True, command=CommandKind.PAUSE)
