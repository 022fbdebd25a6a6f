from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from bertd.daemon.metrics.run_metrics import RunMetrics
from bertd.daemon.scheduling.conditions.dependencies import Dependencies
from bertd.daemon.scheduling.devices.device_allocation import Inventory
from bertd.daemon.scheduling.expectations.expected_durations import ExpectedDurations
from bertd.daemon.scheduling.expectations.forecast import ExpectedTimes
from bertd.daemon.scheduling.expectations.outlook import Outlook, StartAccuracy
from bertd.jobs.store.database import Database
from bertd.jobs.store.event_log import EventLog
from bertd.jobs.store.lifecycle import Actor
from bertd.jobs.store.queue import Job, Queue
from bertd.jobs.store.tables.start_times_table import StartTimesTable
from bertd.records import DailyHours, Dependency, DependencyCondition, JobKind, JobState, StartTimes
from tests.daemon.scheduling.devices.test_device_allocation import job

NOW = 1000.0
BOX = Inventory(cpu_slots=4, gpus=(), no_gpu_reason="")


class Durations:
    """Those of a test, by job."""

    def __init__(self) -> None:
        self.by_job: dict[int, float | None] = {}
        self.is_complete = True

    def begin_round(self) -> None:
        """Nothing is read."""

    def duration_s(self, job: Job) -> float | None:
        return self.by_job.get(job.id)

    def end_t(self, job: Job, *, now: float) -> float | None:
        left_s = self.by_job.get(job.id)
        return None if left_s is None else NOW + left_s


class Box:
    """A queue and its outlook."""

    def __init__(self, database: Database) -> None:
        self.queue = Queue(database, EventLog(database))
        self.database = database
        self.durations = Durations()
        self.dependencies = Dependencies(database, self.queue, run_metrics=RunMetrics(database))
        self.start_times = StartTimesTable(database)
        self.outlook = Outlook(
            self.queue,
            leases=self.queue.leases,
            durations=cast(ExpectedDurations, self.durations),
            dependencies=self.dependencies,
            start_times=self.start_times,
            inventory=BOX,
            clock=lambda: NOW,
        )

    def submit(self, num_cpus: int, duration_s: float | None, *, times: StartTimes | None = None) -> Job:
        draft = replace(job(0, num_cpus, "cpu", job_kind=JobKind.COMMAND), created_t=NOW)
        with self.database.transaction():
            reserved = self.queue.reserve(draft)
            self.start_times.insert(reserved.id, times or StartTimes())
            placed = self.queue.set_folder(reserved, folder="/x", run_id="")
        self.durations.by_job[placed.id] = duration_s
        return placed

    def start(self, started: Job) -> None:
        self.queue.lease(started.id, {"cpu": started.num_devices})
        self.queue.move(started.id, JobState.STARTING, reason="", actor=Actor.SCHEDULER, now=NOW)

    def times(self, of: Job, *, now: float = NOW) -> ExpectedTimes:
        self.outlook.update(self.queue.waiting(), drained=(), now=now)
        return self.outlook.times_of(self.queue.get(of.id))


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Box]:
    database = Database(tmp_path / "queue.db")
    yield Box(database)
    database.close()


def test_jobs_are_expected_one_after_another(box: Box) -> None:
    first, second, third = box.submit(4, 100.0), box.submit(3, 50.0), box.submit(1, None)
    box.start(first)
    assert box.times(first) == ExpectedTimes(None, NOW + 100)
    assert box.times(second) == ExpectedTimes(NOW + 100, NOW + 150)
    assert box.times(third) == ExpectedTimes(NOW + 100, None)


def test_what_takes_longer_than_expected_has_no_known_end(box: Box) -> None:
    first, second = box.submit(4, -1.0), box.submit(4, 50.0)
    box.start(first)
    assert box.times(second) == ExpectedTimes()
    # It is shown as late.
    assert box.times(first) == ExpectedTimes(None, NOW - 1)


def test_a_job_that_waits_for_another_or_for_a_time_is_expected_after_it(box: Box) -> None:
    first = box.submit(1, 100.0)
    after, marker = box.submit(1, 10.0), box.submit(1, 10.0)
    later = box.submit(1, 5.0, times=StartTimes(begin_t=NOW + 3600))
    with box.database.transaction():
        box.dependencies.add(after, [Dependency(on_job_id=first.id, condition=DependencyCondition.DONE)])
        share = Dependency(on_job_id=first.id, condition=DependencyCondition.MARKER, marker=0.5)
        box.dependencies.add(marker, [share])
    assert box.times(after) == ExpectedTimes(NOW + 100, NOW + 110)
    assert box.times(marker) == ExpectedTimes()
    assert box.times(later) == ExpectedTimes(NOW + 3600, NOW + 3605)
    box.start(first)
    assert box.times(after) == ExpectedTimes(NOW + 100, NOW + 110)


def test_what_runs_in_hours_alone_has_no_known_end(box: Box) -> None:
    hours = StartTimes(only=DailyHours(from_minute=0, until_minute=1439))
    first, second = box.submit(4, 100.0, times=hours), box.submit(4, 50.0)
    box.start(first)
    assert (box.times(first), box.times(second)) == (ExpectedTimes(), ExpectedTimes())


def test_what_can_never_start_here_holds_nobody_up(box: Box) -> None:
    first, second = box.submit(9, 10.0), box.submit(1, 10.0)
    assert (box.times(first), box.times(second)) == (ExpectedTimes(), ExpectedTimes(NOW, NOW + 10))


def test_a_start_is_judged_by_what_was_expected_first() -> None:
    accuracy = StartAccuracy()
    accuracy.note_expected({1: ExpectedTimes(5000.0), 2: ExpectedTimes(), 3: ExpectedTimes(5000.0)}, now=1000.0)
    accuracy.note_expected({1: ExpectedTimes(9000.0), 2: ExpectedTimes(9000.0)}, now=2000.0)
    accuracy.note_start(1, now=9000.0)
    accuracy.note_start(2, now=9000.0)
    # It did not wait any more when it is said to start, so nothing is known of it.
    accuracy.note_start(3, now=9000.0)
    # Started in the round that promised it: it did not wait.
    accuracy.note_expected({4: ExpectedTimes(9000.0)}, now=9000.0)
    accuracy.note_start(4, now=9000.2)
    assert (accuracy.num_checked, accuracy.num_wrong) == (2, 1)
