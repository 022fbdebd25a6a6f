"""What runners say in the journals, turned into events and states of the queue: each record once, in order."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bertd.daemon.metrics.event_text import event_text
from bertd.daemon.metrics.run_metrics import NumberedRecord, RunMetrics
from bertd.errors import BertdError
from bertd.jobs.store.database import Database
from bertd.jobs.store.event_log import EventLog
from bertd.jobs.store.lifecycle import Actor
from bertd.jobs.store.queue import Job, Queue
from bertd.records import (
    CommandKind,
    CommandRecord,
    JobKind,
    JobState,
    JournalRecord,
    RestartRecord,
    StartRecord,
    StateRecord,
    StepRecord,
)
from bertd.run.mailbox import commands_after, post
from bertd.run.paths import JobPaths


class JournalFollower:
    """Follows journals of jobs that a runner has."""

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
        self._unapplied: dict[int, list[NumberedRecord]] = {}
        """By job: what was read of its journal and could not be taken in."""

    def follow(self, job: Job) -> bool:
        """Turn a piece of a job's journal into events and states; whether there may be more.

        A piece that an error kept from being taken in is tried again by the next call.

        Raises:
            BertdError: the queue cannot be written, or the journal or the mailbox cannot be read.
        """
        numbered_records = self._unapplied.pop(job.id, None) or self._run_metrics.open_follower(job).follow()
        try:
            self._apply_records(job, numbered_records)
        except BertdError:
            self._unapplied[job.id] = numbered_records
            raise
        return bool(numbered_records)

    def _apply_records(self, job: Job, numbered_records: list[NumberedRecord]) -> None:
        if numbered_records and job.kind is JobKind.FINETUNE and job.state is JobState.STARTING:
            # A finetuning writes no start; whatever it writes shows that it runs.
            self._queue.move(job.id, JobState.RUNNING, reason="finetunes", actor=Actor.RUNNER, now=self._clock())
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
        now = self._clock()
        if isinstance(record, StartRecord) and job.state is JobState.STARTING:
            reason = f"trains since step {record.step}" if record.step else "trains"
            self._queue.move(job.id, JobState.RUNNING, reason=reason, actor=Actor.RUNNER, now=now)
        elif isinstance(record, RestartRecord) and job.state is JobState.STARTING:
            self._queue.update(job.id, reason=_restart_reason(record))
        elif isinstance(record, RestartRecord) and job.state is JobState.RUNNING:
            reason = _restart_reason(record)
            self._queue.update(job.id, wants_resume=0)
            self._queue.move(job.id, JobState.STARTING, reason=reason, actor=Actor.RUNNER, now=now)
        elif isinstance(record, StateRecord):
            self._apply_suspension(job, record, now=now)
        elif isinstance(record, CommandRecord):
            self._apply_answer(job, record, now=now)

    def _apply_suspension(self, job: Job, record: StateRecord, *, now: float) -> None:
        if record.is_hot and job.state in (JobState.STARTING, JobState.RUNNING, JobState.PAUSING):
            self._queue.move(job.id, JobState.PAUSED, reason=f"hot: {record.reason}", actor=Actor.RUNNER, now=now)
            if job.wants_resume:
                asked_by = "a person, who asked for it before the ranks held"
                post(JobPaths(Path(job.folder)).control, verb=CommandKind.RESUME, asked_by=asked_by, now=now)
        elif record.state is JobState.RUNNING and job.is_hot:
            self._queue.move(job.id, JobState.RUNNING, reason=record.reason, actor=Actor.RUNNER, now=now)

    def _apply_answer(self, job: Job, record: CommandRecord, *, now: float) -> None:
        if record.verb is CommandKind.RESUME and job.state is JobState.RUNNING:
            self._queue.update(job.id, wants_resume=0)
        if record.verb is not CommandKind.PAUSE or record.outcome == "done" or job.state is not JobState.PAUSING:
            return
        later_commands = commands_after(JobPaths(Path(job.folder)).control, number=record.number)
        if not any(
            command.verb in (CommandKind.PAUSE, CommandKind.SUSPEND, CommandKind.STOP) for command in later_commands
        ):
            # The disk refused: people can ask for it again.
            self._queue.update(job.id, wants_resume=0)
            reason = f"trains on, since it cannot be paused: {record.detail}"
            self._queue.move(job.id, JobState.RUNNING, reason=reason, actor=Actor.RUNNER, now=now)


def _restart_reason(record: RestartRecord) -> str:
    return f"restarts from step {record.from_step}: {record.cause}"


def _is_event(record: JournalRecord) -> bool:
    return not isinstance(record, StepRecord)
