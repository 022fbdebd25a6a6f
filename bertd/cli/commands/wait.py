"""Wait until a job is over, across restarts of the daemon."""

from __future__ import annotations

import threading
import time

from bertd.api.client import Client
from bertd.api.models import EventView, JobView
from bertd.cli import exit_codes
from bertd.errors import DaemonUnreachableError
from bertd.records import JobState

RECONNECT_S = 10.0
"""How long the daemon may be unreachable, such as during its restart."""
_RETRY_S = 0.2

EXIT_CODE_BY_STATE: dict[JobState, int] = {
    JobState.DONE: 0,
    JobState.FAILED: exit_codes.FAILED,
    JobState.CANCELLED: exit_codes.CANCELLED,
    JobState.LOST: exit_codes.LOST,
}
"""Exit status of `bertd wait`; a state that is not here is not final."""


def is_over(job: JobView) -> bool:
    """Whether the job's state is final."""
    return job.state in EXIT_CODE_BY_STATE


def wait_until_over(client: Client, job: JobView, *, deadline: float | None) -> JobView:
    """The job when it is over, or as it is at `deadline` (CLOCK_MONOTONIC).

    Raises:
        DaemonUnreachableError: the daemon was unreachable for longer than RECONNECT_S.
    """
    lost_at: float | None = None
    while not is_over(job) and not _has_passed(deadline):
        try:
            job = _wait_on_event_stream(client, job.id, deadline=deadline)
            lost_at = None
        except DaemonUnreachableError:
            now = time.monotonic()
            lost_at = lost_at if lost_at is not None else now
            if now - lost_at > RECONNECT_S:
                raise
            time.sleep(_RETRY_S)
    return job


def _wait_on_event_stream(client: Client, job_id: int, *, deadline: float | None) -> JobView:
    """The job when it is over, the deadline has passed, or one event stream has ended."""
    with client.events(job_id=job_id) as stream:
        # Requested after the stream's start, so that no change between the two is missed.
        job = client.job(job_id)
        left_s = 0.0 if deadline is None else min(max(0.0, deadline - time.monotonic()), threading.TIMEOUT_MAX)
        timer = threading.Timer(left_s, stream.close)
        timer.daemon = True
        if deadline is not None:
            timer.start()
        try:
            while not is_over(job):
                item = next(stream, None)
                if item is None:
                    break
                if isinstance(item, EventView):
                    job = client.job(job_id) if item.job_id == job_id else job  # An earlier daemon sends all events.
                else:
                    job = next((row for row in item.jobs if row.id == job_id), job)
        finally:
            timer.cancel()
        return job


def _has_passed(deadline: float | None) -> bool:
    return deadline is not None and time.monotonic() >= deadline
