"""What the scheduler does with a job: at its start, at the daemon's end and return, after a lost runner, in a sweep."""

from __future__ import annotations

from bertd.jobs.store.lifecycle.actions import STOP_PENDING_REASON
from bertd.jobs.store.lifecycle.states import JobChange, JobStatus, SubState
from bertd.records import CommandKind, JobKind, JobState


def reason_to_wait(status: JobStatus, reason: str) -> str:
    """The reason of a queued job for which there are no devices yet."""
    return f"{STOP_PENDING_REASON}; {reason}" if status.stop_asked else reason


def change_by_broken_dependency(reason: str) -> JobChange:
    """A job that it waits for did not end as it needs: a person decides whether it may start all the same."""
    return JobChange(JobState.HELD, reason)


def change_by_unusable_data(job_id: int, why: str) -> JobChange:
    """What it was to read is there, and cannot be used: a person mends it, and has it looked at again."""
    remedy = f"`bertd release {job_id}` looks again, `bertd stop {job_id}` cancels it"
    return JobChange(JobState.HELD, f"held, since its data cannot be used: {why}; {remedy}")


def change_by_other_software(job_id: int, what: str) -> JobChange:
    """It would start with other software than it was queued with, and the configuration wants a person to see that."""
    remedy = f"`bertd release {job_id}` starts it, `bertd stop {job_id}` cancels it"
    return JobChange(JobState.HELD, f"held: {what}; {remedy}")


def change_at_start(reason: str) -> JobChange:
    """A queued job got its devices, which fulfils the wish to resume."""
    return JobChange(JobState.STARTING, reason, wants_resume=False)


def change_at_shutdown(status: JobStatus) -> JobChange | None:
    """The daemon ends, and has each job save; None for one that is about to end, or that has no runner."""
    if status.state in (JobState.STARTING, JobState.RUNNING):
        reason = "the daemon is shutting down; resumes by itself when the daemon starts"
        return JobChange(JobState.PAUSING, reason, wants_resume=True, command=CommandKind.PAUSE)
    if status.is_hot:
        # Set no wish: a person paused it, and it stays paused unless they have resumed it since.
        reason = "was paused hot; saves, because the daemon is shutting down"
        return JobChange(JobState.PAUSING, reason, command=CommandKind.PAUSE)
    # One that is pausing gets the command too: its pause may be a hot one.
    return JobChange(command=CommandKind.PAUSE) if status.state is JobState.PAUSING else None


def change_at_closing(status: JobStatus, reason: str) -> JobChange | None:
    """The hours in which it may run are over; None for one that does not work, or is about to end."""
    if status.state not in (JobState.STARTING, JobState.RUNNING):
        # One that a person paused hot stays so.
        return None
    return JobChange(JobState.PAUSING, reason, wants_resume=True, command=CommandKind.PAUSE)


def change_by_lost_device(status: JobStatus, reason: str) -> JobChange | None:
    """A device that it has is lost, so its runner is ended; None for one that does not work, or is about to end."""
    if status.state not in (JobState.STARTING, JobState.RUNNING):
        return None
    # No command: ranks that wait for the lost device read none.
    return JobChange(JobState.PAUSING, reason, wants_resume=True)


def change_by_failure_on_lost_device(reason: str) -> JobChange:
    """It failed while it was to leave a lost device."""
    return JobChange(JobState.QUEUED, reason, wants_resume=False)


def change_at_recovery(status: JobStatus) -> JobChange | None:
    """The daemon is back: a job that its end paused resumes; None if a person paused it."""
    if status.state is not JobState.PAUSED or status.is_hot or not status.wants_resume:
        return None
    return JobChange(JobState.QUEUED, "the daemon is back; resumes from its checkpoint", wants_resume=False)


def change_by_retry(reason: str) -> JobChange:
    """It failed, and is begun again unasked, as it was submitted."""
    return JobChange(JobState.QUEUED, reason)


def change_by_lost_runner(status: JobStatus, *, job_id: int, kind: JobKind, reason_to_give_up: str | None) -> JobChange:
    """Its runner died without an outcome: it was killed, or the machine went down.

    Args:
        reason_to_give_up: if that happened too often; None if it may be tried again.
    """
    if status.sub_state is SubState.SUSPENDED:
        reason = (
            f"its suspended processes died; `bertd resume {job_id}` continues from its newest checkpoint, if it has one"
        )
        return JobChange(JobState.PAUSED, reason)
    if status.state is JobState.PAUSING and not status.wants_resume:
        return JobChange(JobState.PAUSED, f"its runner died while it paused; `bertd resume {job_id}` continues")
    if status.state is JobState.STOPPING and kind is not JobKind.PRETRAIN:
        return JobChange(JobState.CANCELLED, "stopped by a person")
    if kind is JobKind.COMMAND:
        # What it has done is not known here, so it is not repeated unasked.
        reason = "its runner died (killed, or the machine went down), and the command was killed with it"
        return JobChange(JobState.LOST, f"{reason}; `bertd resume {job_id}` begins it again")
    if reason_to_give_up is not None:
        return JobChange(JobState.FAILED, reason_to_give_up)
    # A wish to stop stays: it gets devices again, only to validate and export.
    continues = {
        JobKind.PREPARE: "continues with the parts that are not complete",
        JobKind.EVALUATE: "begins again",
        JobKind.EXPORT: "begins again",
        JobKind.PRETRAIN: "resumes from its newest checkpoint, or begins again without one",
        JobKind.FINETUNE: "continues after its last saved epoch, or begins again without one",
        JobKind.GRID: "continues with the trials that have no score",
    }
    return JobChange(JobState.QUEUED, f"its runner died (killed, or the machine went down); {continues[kind]}")


# ---- A sweep; only of jobs without ranks -----------------------------------------------------------


def change_by_passing_rung(reason: str) -> JobChange:
    """A paused setting continues to its next rung."""
    return JobChange(JobState.QUEUED, reason, wants_resume=False, stop_asked=False, forgets_losses=True)


def change_by_dropping(reason: str) -> JobChange:
    """A setting is over; it is not exported, but its checkpoints stay."""
    return JobChange(JobState.CANCELLED, reason, wants_resume=False)


def change_by_winning(status: JobStatus, reason: str) -> JobChange:
    """The best setting gets devices once more, to validate and export; one that a person holds waits for that."""
    state = JobState.QUEUED if status.state is JobState.PAUSED else None
    return JobChange(state, reason, wants_resume=False, stop_asked=True, command=CommandKind.STOP)
