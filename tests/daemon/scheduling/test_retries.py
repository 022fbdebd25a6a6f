from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bertd.daemon.admission.quota import Quotas
from bertd.daemon.metrics.run_metrics import RunMetrics
from bertd.daemon.scheduling.conditions.dependencies import Dependencies
from bertd.daemon.scheduling.conditions.waiting_jobs import WaitingJobs
from bertd.daemon.scheduling.devices.device_allocation import Inventory
from bertd.daemon.scheduling.job_actions import JobActions
from bertd.daemon.scheduling.job_completion import JobCompletion
from bertd.jobs.store.database import Database
from bertd.jobs.store.event_log import EventLog
from bertd.jobs.store.lifecycle import Actor, JobAction
from bertd.jobs.store.queue import Job, Queue
from bertd.jobs.store.tables.retry_table import MAX_DELAY_S, Retries, RetryTable
from bertd.jobs.store.tables.start_times_table import StartTimesTable
from bertd.records import JobKind, JobState, Outcome
from bertd.run.amounts.local_times import format_local_time
from bertd.run.paths import JobPaths
from tests.daemon.scheduling.devices.test_device_allocation import job

NOW = 1000.0


class Box:
    """A queue with a command that runs."""

    def __init__(self, folder: Path, *, num_retries: int) -> None:
        self.database = Database(folder / "queue.db")
        self.queue = Queue(self.database, EventLog(self.database))
        self.paths = JobPaths(folder / "job")
        for place in (self.paths.logs, self.paths.control):
            place.mkdir(parents=True)
        self.completion = JobCompletion(database=self.database, queue=self.queue, run_metrics=RunMetrics(self.database))
        with self.database.transaction():
            reserved = self.queue.reserve(job(0, 1, "cpu", job_kind=JobKind.COMMAND))
            self.id = self.queue.set_folder(reserved, folder=str(self.paths.root), run_id="").id
            RetryTable(self.database).insert(self.id, num_retries)

    @property
    def job(self) -> Job:
        return self.queue.get(self.id)

    @property
    def actions(self) -> JobActions:
        inventory = Inventory(cpu_slots=4, gpus=(), no_gpu_reason="")
        return JobActions(
            self.database, self.queue, inventory=inventory, quotas=Quotas(self.queue, limit=lambda: 1_000)
        )

    def run(self, outcome: JobState | None, *, is_stopped: bool = False) -> Job:
        """Start it, and end its runner with that outcome, or without one; after a person's stop, if it is stopped."""
        self.queue.move(self.id, JobState.STARTING, reason="", actor=Actor.SCHEDULER, now=NOW)
        self.queue.move(self.id, JobState.RUNNING, reason="", actor=Actor.RUNNER, now=NOW)
        if is_stopped:
            self.actions.apply(JobAction.STOP, self.job, asked_by="ada", now=NOW)
        self.paths.outcome.unlink(missing_ok=True)
        if outcome is not None:
            self.paths.outcome.write_text(Outcome(state=outcome, reason="exit status 3", exit_code=3).model_dump_json())
        self.completion.complete(self.job, exit_code=None, is_stopping=False, now=NOW)
        return self.job

    @property
    def begin_t(self) -> float | None:
        return StartTimesTable(self.database).of_job(self.id).begin_t


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Box]:
    box = Box(tmp_path, num_retries=2)
    yield box
    box.database.close()


def test_a_command_that_fails_is_begun_again_after_twice_as_long_until_it_has_no_retries_left(box: Box) -> None:
    first = box.run(JobState.FAILED)
    assert (first.state, box.begin_t) == (JobState.QUEUED, NOW + 30)
    when = format_local_time(NOW + 30, now=NOW)
    assert first.reason == f"begins again {when}, attempt 2 of 3, since the last one failed: exit status 3"
    second = box.run(None)
    assert (second.state, box.begin_t) == (JobState.QUEUED, NOW + 60)
    assert second.reason.endswith(", attempt 3 of 3, since the last one failed: its runner died")
    waiting = WaitingJobs(
        box.database,
        box.queue,
        dependencies=Dependencies(box.database, box.queue, run_metrics=RunMetrics(box.database)),
    )
    assert waiting.may_start([second], now=NOW + 59) == []
    assert box.job.reason == second.reason
    assert waiting.may_start([second], now=NOW + 60) == [second]
    last = box.run(JobState.FAILED)
    assert (last.state, last.reason) == (JobState.FAILED, "exit status 3")


@pytest.mark.parametrize("state", [JobState.DONE, JobState.CANCELLED])
def test_what_is_done_or_was_stopped_is_not_begun_again(box: Box, state: JobState) -> None:
    assert box.run(state).state is state
    assert RetryTable(box.database).of_job(box.id) == Retries(2, 0)


@pytest.mark.parametrize(
    ("outcome", "state"), [(JobState.FAILED, JobState.FAILED), (None, JobState.CANCELLED), (JobState.DONE,) * 2]
)
def test_what_failed_before_it_read_that_it_is_stopped_is_not_begun_again(
    box: Box, outcome: JobState | None, state: JobState
) -> None:
    assert box.run(outcome, is_stopped=True).state is state


def test_a_person_who_begins_it_again_gives_it_all_its_retries_again(box: Box) -> None:
    for _ in range(3):
        failed = box.run(JobState.FAILED)
    assert failed.state is JobState.FAILED
    assert box.actions.apply(JobAction.RESUME, failed, asked_by="ada", now=NOW).state is JobState.QUEUED
    assert box.run(JobState.FAILED).state is JobState.QUEUED


def test_a_command_without_retries_fails_at_once(tmp_path: Path) -> None:
    box = Box(tmp_path, num_retries=0)
    assert box.run(JobState.FAILED).state is JobState.FAILED
    assert box.begin_t is None
    box.database.close()


def test_no_delay_is_longer_than_an_hour() -> None:
    assert [replace(Retries(5000), num_used=used).delay_s for used in (0, 1, 6, 7, 4000)] == [
        *(30.0, 60.0, 1920.0),
        *(MAX_DELAY_S, MAX_DELAY_S),
    ]
