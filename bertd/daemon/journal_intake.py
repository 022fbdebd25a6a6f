"""What runners say in the journals, turned into events and states of the queue: each record once, in order."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bertd.daemon.event_text import event_text
from bertd.daemon.telemetry import Numbered, Telemetry
from bertd.errors import BertdError
from bertd.jobs.database import Database
from bertd.jobs.event_log import EventLog
from bertd.jobs.lifecycle import Actor
from bertd.jobs.queue import Job, Queue
from bertd.records import (
    CommandRecord,
    JobKind,
    JobState,
    JournalRecord,
    RestartRecord,
    StartRecord,
    StateRecord,
    StepRecord,
    Verb,
)
from bertd.run.mailbox import commands_behind, post
from bertd.run.paths import JobPaths


class JournalIntake:
    """Follows journals of jobs that a runner has."""

    def __init__(
        self,
        *,
        database: Database,
        queue: Queue,
        events: EventLog,
        telemetry: Telemetry,
        clock: Callable[[], float],
    ) -> None:
        self._database = database
        self._queue = queue
        self._events = events
        self._telemetry = telemetry
        self._clock = clock
        self._untold: dict[int, list[Numbered]] = {}
        """By job: what was read of its journal and could not be taken in."""

    def follow(self, job: Job) -> bool:
        """Turn a piece of a job's journal into events and states; whether there may be more.

        A piece that an error kept from being taken in is tried again by the next call.

        Raises:
            BertdError: the queue cannot be written, or the journal or the mailbox cannot be read.
        """
        numbered = self._untold.pop(job.id, None) or self._telemetry.begin(job).follow()
        try:
            self._take(job, numbered)
        except BertdError:
            self._untold[job.id] = numbered
            raise
        return bool(numbered)

    def _take(self, job: Job, numbered: list[Numbered]) -> None:
        if numbered and job.kind is JobKind.FINETUNE and job.state is JobState.STARTING:
            # A finetuning writes no start; whatever it writes shows that it runs.
            self._queue.move(job.id, JobState.RUNNING, reason="finetunes", actor=Actor.RUNNER, now=self._clock())
        fresh = [entry for entry in numbered if entry.number > job.journal_seen and _is_event(entry.record)]
        if fresh:
            with self._database.transaction():
                for entry in fresh:
                    self._tell(job, entry)
                    self._obey(self._queue.get(job.id), entry.record)
                self._queue.note(job.id, journal_seen=fresh[-1].number)

    def _tell(self, job: Job, entry: Numbered) -> None:
        record = entry.record
        self._events.append(
            record.kind,
            f"{job.run_id if job.kind is JobKind.PRETRAIN else job.name}: {event_text(record)}",
            now=record.t,
            job_id=job.id,
            run_id=job.run_id,
            data=record.model_dump(mode="json"),
        )

    def _obey(self, job: Job, record: JournalRecord) -> None:
        now = self._clock()
        if isinstance(record, StartRecord) and job.state is JobState.STARTING:
            reason = f"trains since step {record.step}" if record.step else "trains"
            self._queue.move(job.id, JobState.RUNNING, reason=reason, actor=Actor.RUNNER, now=now)
        elif isinstance(record, RestartRecord) and job.state is JobState.STARTING:
            self._queue.note(job.id, reason=_restarts(record))
        elif isinstance(record, RestartRecord) and job.state is JobState.RUNNING:
            reason = _restarts(record)
            self._queue.note(job.id, wants_resume=0)
            self._queue.move(job.id, JobState.STARTING, reason=reason, actor=Actor.RUNNER, now=now)
        elif isinstance(record, StateRecord):
            self._obey_hold(job, record, now=now)
        elif isinstance(record, CommandRecord):
            self._obey_answer(job, record, now=now)

    def _obey_hold(self, job: Job, record: StateRecord, *, now: float) -> None:
        if record.is_hot and job.state in (JobState.STARTING, JobState.RUNNING, JobState.PAUSING):
            self._queue.move(job.id, JobState.PAUSED, reason=f"hot: {record.reason}", actor=Actor.RUNNER, now=now)
            if job.wants_resume:
                asked_by = "a person, who asked for it before the ranks held"
                post(JobPaths(Path(job.folder)).control, verb=Verb.RESUME, asked_by=asked_by, now=now)
        elif record.state is JobState.RUNNING and job.is_hot:
            self._queue.move(job.id, JobState.RUNNING, reason=record.reason, actor=Actor.RUNNER, now=now)

    def _obey_answer(self, job: Job, record: CommandRecord, *, now: float) -> None:
        if record.verb is Verb.RESUME and job.state is JobState.RUNNING:
            self._queue.note(job.id, wants_resume=0)
        if record.verb is not Verb.PAUSE or record.outcome == "done" or job.state is not JobState.PAUSING:
            return
        behind = commands_behind(JobPaths(Path(job.folder)).control, number=record.number)
        if not any(command.verb in (Verb.PAUSE, Verb.HOLD, Verb.STOP) for command in behind):
            # The disk refused: people can ask for it again.
            self._queue.note(job.id, wants_resume=0)
            reason = f"trains on, since it cannot be paused: {record.detail}"
            self._queue.move(job.id, JobState.RUNNING, reason=reason, actor=Actor.RUNNER, now=now)


def _restarts(record: RestartRecord) -> str:
    return f"restarts from step {record.from_step}: {record.cause}"


def _is_event(record: JournalRecord) -> bool:
    return not isinstance(record, StepRecord)
