"""Read the times with which a job was submitted, in the daemon's local time."""

from __future__ import annotations

from bertd.api.models import ChangeRequest, ProgramSubmission, Submission, SubmitCommand
from bertd.errors import SubmissionError, TransitionError
from bertd.jobs.store.lifecycle import ENDED, MOVABLE
from bertd.jobs.store.queue import Job
from bertd.records import PROGRAM_KINDS, JobState, StartTimes
from bertd.run.amounts.local_times import parse_begin, parse_hours

NONE = "none"
"""What a person gives to take a condition away."""


def read_start_times(request: Submission, *, now: float) -> StartTimes:
    """When the job may start and run.

    Raises:
        SubmissionError: a text is not a time, or hours were given for what cannot be paused.
    """
    if request.only is not None and isinstance(request, SubmitCommand | ProgramSubmission):
        raise SubmissionError("--only: a program cannot be paused and continued; give --begin alone")
    try:
        begin_t = None if request.begin is None else parse_begin(request.begin, now=now)
    except ValueError as error:
        raise SubmissionError(f"--begin: {error}") from error
    try:
        only = None if request.only is None else parse_hours(request.only)
    except ValueError as error:
        raise SubmissionError(f"--only: {error}") from error
    return StartTimes(begin_t=begin_t, only=only)


def change_start_times(request: ChangeRequest, before: StartTimes, *, job: Job, now: float) -> StartTimes:
    """A job's times after a change.

    Raises:
        SubmissionError: a text is not a time, or hours were given for what cannot be paused.
        TransitionError: it is over, or its begin is changed while it has devices.
    """
    if job.state in ENDED or job.state is JobState.STOPPING:
        raise TransitionError(f"job {job.id}: is {job.state}, so it has no times any more")
    if request.begin is not None and job.state not in MOVABLE:
        raise TransitionError(f"job {job.id}: is {job.state}, so its begin cannot be changed; --only can")
    given_only = None if request.only in (None, NONE) else request.only
    if given_only is not None and job.kind in PROGRAM_KINDS:
        raise SubmissionError(f"--only: a {job.kind} cannot be paused and continued; give --begin alone")
    given_begin = None if request.begin in (None, NONE) else request.begin
    read = read_start_times(Submission(begin=given_begin, only=given_only), now=now)
    return StartTimes(
        begin_t=before.begin_t if request.begin is None else read.begin_t,
        only=before.only if request.only is None else read.only,
    )
