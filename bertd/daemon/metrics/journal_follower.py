"""Turn the records of journals into events and job states of the queue: each record once, in order."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bertd.daemon.metrics.budget_milestones import BudgetMilestones
from bertd.daemon.metrics.metrics_follower import NumberedRecord
from bertd.daemon.metrics.run_metrics import RunMetrics
from bertd.errors import BertdError
from bertd.jobs.store.database import Database
from bertd.jobs.store.event_log import EventLog
from bertd.jobs.store.lifecycle import Actor, change_by_record
from bertd.jobs.store.queue import Job, Queue
from bertd.metrics.event_text import event_text
from bertd.records import (
    CommandKind,
    CommandRecord,
    JobKind,
    JobState,
    JournalRecord,
    StepRecord,
)
from bertd.run.mailbox import commands_after, post
from bertd.run.paths import JobPaths

_REASON_TO_RUN = {
    JobKind.FINETUNE: "finetunes",
    JobKind.COMMAND: "runs",
    JobKind.PREPARE: "prepares",
    JobKind.EVALUATE: "evaluates",
    JobKind.EXPORT: "exports",
}
"""Kinds without a start record."""


class JournalFollower:
    """Follows the journals of jobs that have a runner."""

    def __init__(
        self,
        *,
        database: Database,
        queue: Queue,
        events: EventLog,
        run_metrics: RunMetrics,
        clock: Callable[[], float],
    ) -> None:
        self._database = database
        self._queue = queue
        self._events = events
        self._run_metrics = run_metrics
        self._clock = clock
        self._milestones = BudgetMilestones(database=database, events=events, run_metrics=run_metrics)
        self._unapplied: dict[int, list[NumberedRecord]] = {}
        """By job: records that were read from its journal and could not be applied."""

    def follow(self, job: Job) -> bool:
        """Apply the next records of a job's journal; return whether there may be more.

        Records that could not be applied because of an error are tried again by the next call.

        Raises:
            BertdError: the queue cannot be written, or the journal or the mailbox cannot be read.
        """
        numbered_records = self._unapplied.pop(job.id, None) or self._run_metrics.open_follower(job).follow()
        try:
            self._apply_records(job, numbered_records)
        except BertdError:
            self._unapplied[job.id] = numbered_records
            raise
        self._milestones.report(job, now=self._clock())
        self._run_metrics.store_if_due(job)
        return bool(numbered_records)

    def _apply_records(self, job: Job, numbered_records: list[NumberedRecord]) -> None:
        if numbered_records and job.kind in _REASON_TO_RUN and job.state is JobState.STARTING:
            # It writes no start record; its first record shows that it runs.
            reason = _REASON_TO_RUN[job.kind]
            self._queue.move(job.id, JobState.RUNNING, reason=reason, actor=Actor.RUNNER, now=self._clock())
        unseen = [entry for entry in numbered_records if entry.number > job.journal_seen and _is_event(entry.record)]
        if unseen:
            with self._database.transaction():
                for entry in unseen:
                    self._append_event(job, entry)
                    self._apply_to_job(self._queue.get(job.id), entry.record)
                self._queue.update(job.id, journal_seen=unseen[-1].number)

    def _append_event(self, job: Job, entry: NumberedRecord) -> None:
        record = entry.record
        self._events.append(
            record.kind,
            f"{job.run_id if job.kind is JobKind.PRETRAIN else job.name}: {event_text(record)}",
            now=record.t,
            job_id=job.id,
            run_id=job.run_id,
            data=record.model_dump(mode="json"),
        )

    def _apply_to_job(self, job: Job, record: JournalRecord) -> None:
        change = change_by_record(job.status, record)
        if change is None or (isinstance(record, CommandRecord) and _has_newer_command(job, record)):
            return
        now = self._clock()
        self._queue.apply(job.id, change, actor=Actor.RUNNER, now=now)
        if change.command is not None:
            asked_by = "a person, before the ranks were suspended"
            post(JobPaths(Path(job.folder)).control, verb=change.command, asked_by=asked_by, now=now)


def _has_newer_command(job: Job, answer: CommandRecord) -> bool:
    """Whether a newer command was given after the pause that `answer` belongs to."""
    if answer.verb is not CommandKind.PAUSE:
        return False
    later_commands = commands_after(JobPaths(Path(job.folder)).control, number=answer.number)
    return any(command.verb in (CommandKind.PAUSE, CommandKind.SUSPEND, CommandKind.STOP) for command in later_commands)


def _is_event(record: JournalRecord) -> bool:
    return not isinstance(record, StepRecord)
