"""Alerts of the daemon about a job: in a run's journal, by its mailbox; of other jobs, as an event."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from bertd.daemon.process.journal_log import log_fields
from bertd.errors import BertdError
from bertd.jobs.store.event_log import EventLog
from bertd.jobs.store.queue import Job, Queue
from bertd.records import AlertRecord, AlertRequest, CommandKind, JobKind
from bertd.run.mailbox import post
from bertd.run.paths import JobPaths

logger = logging.getLogger(__name__)


class JobAlerts:
    """Raises them; a job's journal has one writer, which is asked to write them."""

    def __init__(self, queue: Queue, events: EventLog, *, step_of: Callable[[Job], int]) -> None:
        """`step_of`: a job's newest step."""
        self._queue = queue
        self._events = events
        self._step_of = step_of

    def raise_for_holders(self, device: str, *, code: str, message: str, is_error: bool, now: float) -> None:
        """Raise one for each job that has the device, within the caller's transaction."""
        for job_id in self._queue.leases().holders_of(device):
            self.raise_for(self._queue.get(job_id), code=code, message=message, is_error=is_error, now=now)

    def raise_for(self, job: Job, *, code: str, message: str, is_error: bool, now: float) -> None:
        """Raise one for a job, within the caller's transaction."""
        request = AlertRequest(level="error" if is_error else "warning", code=code, message=message)
        if job.kind is not JobKind.PRETRAIN or not self._has_posted(job, request, now=now):
            self._append_event(job, request, now=now)

    def _has_posted(self, job: Job, request: AlertRequest, *, now: float) -> bool:
        try:
            post(
                JobPaths(Path(job.folder)).control,
                verb=CommandKind.ALERT,
                asked_by="the daemon",
                now=now,
                alert=request,
            )
        except BertdError as error:
            logger.error(
                "job %d: an alert is not in its journal, only in the event log: %s",
                job.id,
                error,
                extra=log_fields(job.id, job.run_id),
            )
            return False
        return True

    def _append_event(self, job: Job, request: AlertRequest, *, now: float) -> None:
        alert = AlertRecord(
            t=now, step=self._step_of(job), level=request.level, code=request.code, message=request.message
        )
        text = f"{job.name}: {alert.level} {alert.code}: {alert.message}"
        data = alert.model_dump(mode="json")
        self._events.append("alert", text, now=now, job_id=job.id, run_id=job.run_id, data=data)
