"""Read the times with which a job was submitted, in the daemon's local time."""

from __future__ import annotations

from bertd.api.models import ProgramSubmission, Submission, SubmitCommand
from bertd.errors import SubmissionError
from bertd.records import StartTimes
from bertd.run.amounts.local_times import parse_begin, parse_hours


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
