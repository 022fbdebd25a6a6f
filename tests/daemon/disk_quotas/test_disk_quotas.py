"""bertd.daemon.disk_quotas: a quota is warned of once, thinned before it is used up, and refuses jobs while it is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bertd.daemon.disk_quotas.disk_quotas import MEASURE_EVERY_S, SEARCH_AGAIN_S, DiskQuotas
from bertd.daemon.disk_quotas.disk_use import MEASURE_ALL_EVERY_S, DiskUseMeter
from bertd.daemon.disk_quotas.quota_decisions import DiskLimits, QuotaLevel, level_of
from bertd.daemon.garbage.collect import GarbageCollector
from bertd.daemon.telemetry.job_alerts import JobAlerts
from bertd.errors import QuotaError
from bertd.jobs.store.database import Database
from bertd.jobs.store.event_log import EventLog
from bertd.jobs.store.lifecycle import Actor
from bertd.jobs.store.queue import Job, Queue
from bertd.records import JobKind, JobState, KeptCheckpoint, KeptCheckpoints
from bertd.run.checkpoint_index import write_checkpoint_index
from bertd.run.disk_quota import read_disk_quota
from bertd.run.mailbox import read_command
from bertd.run.paths import RunPaths, StatePaths, newest_first, step_folder_name, step_of
from tests.waiting import wait_for

WEIGHTS_BYTES = 409_600
"""Of a test's checkpoint; a whole number of blocks."""


class Box:
    """A state folder with runs, and the quotas of it."""

    def __init__(self, folder: Path) -> None:
        self.paths = StatePaths(folder)
        self.database = Database(folder / "queue.db")
        self.events = EventLog(self.database)
        self.queue = Queue(self.database, self.events)
        self.limits = DiskLimits()
        self.now = 1_000_000.0
        self.quotas = DiskQuotas(
            self.paths,
            database=self.database,
            queue=self.queue,
            events=self.events,
            garbage=GarbageCollector(self.queue, self.events),
            alerts=JobAlerts(self.queue, self.events, step_of=lambda job: 0),
            limits=lambda: self.limits,
        )

    def run(self, *steps: int, state: JobState = JobState.RUNNING) -> tuple[Job, RunPaths]:
        """A run with checkpoints of these steps, each with an export of the same size."""
        draft = Job(*(0, JobKind.PRETRAIN, "a", JobState.QUEUED, "", 0, "", "", "cpu", 1, 0, 1.0))
        with self.database.transaction():
            reserved = self.queue.reserve(draft)
            paths = self.paths.run(f"{reserved.id}-a")
            self.queue.set_folder(reserved, folder=str(paths.root), run_id=f"{reserved.id}-a")
        paths.control.mkdir(parents=True)
        self.queue.move(reserved.id, JobState.STARTING, reason="", actor=Actor.SCHEDULER, now=2.0)
        job = self.queue.move(reserved.id, state, reason="", actor=Actor.RUNNER, now=100.0)
        kept = []
        for step in sorted(steps, reverse=True):
            for parent in (paths.checkpoints, paths.exports):
                folder = parent / step_folder_name(step)
                folder.mkdir(parents=True)
                (folder / "weights").write_bytes(b"x" * WEIGHTS_BYTES)
            kept.append(
                KeptCheckpoint(
                    name=step_folder_name(step),
                    step=step,
                    progress=0.5,
                    size_bytes=WEIGHTS_BYTES,
                    validation_loss=None,
                    markers=[],
                    reasons=[],
                )
            )
        write_checkpoint_index(paths, KeptCheckpoints(checkpoints=kept))
        return job, paths

    def look(self, *, after_s: float = MEASURE_EVERY_S) -> None:
        """Time passes, and all that the daemon does by itself then is done."""
        self.now += after_s
        self.quotas.advance(now=self.now)
        wait_for(lambda: not self.is_at_work(), what="the quotas")

    def is_at_work(self) -> bool:
        was_at_work = self.quotas._work._thread is not None
        self.quotas.advance(now=self.now)
        return was_at_work or self.quotas._work._thread is not None

    def events_of(self, type: str) -> list[str]:
        return [event.text for event in self.events.since(0, limit=1000) if event.type == type]

    def alerts(self, paths: RunPaths) -> list[str]:
        numbers = range(1, len(list(paths.control.iterdir())) + 1)
        commands = [read_command(paths.control, number=number) for number in numbers]
        return [each.alert.message for each in commands if each is not None and each.alert is not None]


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Box]:
    box = Box(tmp_path)
    yield box
    box.database.close()


def used_bytes(box: Box) -> int:
    return DiskUseMeter(box.paths).measure((), now=0.0).total_bytes


def test_nothing_is_measured_without_a_quota(box: Box) -> None:
    job, paths = box.run(10)
    box.look()
    assert box.quotas.view() is None and box.quotas.view_of_run(job.run_id) is None
    assert not paths.disk_quota.exists()
    box.quotas.require_room()


def test_a_run_that_nears_its_quota_is_alerted_once_and_keeps_all_that_it_has(box: Box) -> None:
    job, paths = box.run(10, 20, 30)
    size = DiskUseMeter(box.paths).measure((), now=0.0).by_run[job.run_id]
    box.limits = DiskLimits(per_run=round(size / 0.92))
    box.look()
    box.look()
    (alert,) = box.alerts(paths)
    assert "(92%)" in alert and "quotas.disk_per_run" in alert
    assert read_disk_quota(paths) == box.limits.per_run
    view = box.quotas.view_of_run(job.run_id)
    # The alert itself takes a block or two.
    assert view is not None and size <= view.used_bytes < size + 50_000 and view.quota_bytes == box.limits.per_run

    box.limits = DiskLimits(per_run=size // 2)
    box.look()
    assert len(box.alerts(paths)) == 2
    # It trains, so its checkpoints are its own to delete.
    assert [step_of(each) for each in newest_first(paths.checkpoints)] == [30, 20, 10]
    with pytest.raises(QuotaError, match=f"run {job.run_id} takes .* that quotas.disk_per_run allows"):
        box.quotas.require_room_of_run(paths.finetune(7).root)
    box.quotas.require_room_of_run(box.paths.run("99-other").root)
    box.quotas.require_room()

    box.limits = DiskLimits()
    box.look()
    assert not paths.disk_quota.exists()


def test_ended_jobs_are_thinned_oldest_first_and_keep_newest_checkpoint_and_exports(box: Box) -> None:
    _, first = box.run(10, 20, 30, state=JobState.FAILED)
    _, second = box.run(10, 20, 30, state=JobState.FAILED)
    _, live = box.run(10, 20, 30)
    total = used_bytes(box)
    # One checkpoint less is enough; the database grows by what is written of it.
    box.limits = DiskLimits(in_all=round(total / 0.96))
    box.look()
    steps = [[step_of(each) for each in newest_first(paths.checkpoints)] for paths in (first, second, live)]
    assert steps[0][0] == 30 and len(steps[0]) < 3
    assert steps[1:] == [[30, 20, 10], [30, 20, 10]]
    assert all(len(newest_first(paths.exports)) == 3 for paths in (first, second, live))
    assert any("deleted by the daemon, for a disk quota" in text for text in box.events_of("garbage"))
    (event,) = box.events_of("quota")
    assert "no new job is accepted when it is used up" in event
    assert len(box.alerts(live)) == 1 and not box.alerts(first)


def test_a_quota_that_cannot_be_kept_refuses_jobs_and_takes_no_newest_checkpoint(box: Box) -> None:
    _, failed = box.run(10, 20, state=JobState.FAILED)
    _, live = box.run(10, 20)
    box.limits = DiskLimits(in_all=100_000)
    box.look()
    box.look(after_s=SEARCH_AGAIN_S)
    assert [step_of(each) for each in newest_first(failed.checkpoints)] == [20]
    assert len(newest_first(live.checkpoints)) == 2
    assert all(len(newest_first(paths.exports)) == 2 for paths in (failed, live))
    with pytest.raises(QuotaError, match=r"quotas\.disk_in_all allows \(\d+%\); `bertd gc --delete`"):
        box.quotas.require_room()

    box.limits = DiskLimits(in_all=10**9)
    box.look()
    box.quotas.require_room()


def test_a_run_that_needs_more_than_its_quota_at_the_least_is_refused(box: Box) -> None:
    box.limits = DiskLimits(per_run=10**9)
    box.quotas.require_fitting(10**9, name="a.toml")
    with pytest.raises(QuotaError, match=r"a\.toml: would keep .* fewer checkpoint\.markers"):
        box.quotas.require_fitting(10**9 + 1, name="a.toml")


@pytest.mark.parametrize(
    ("used", "before", "after"),
    [
        (89, QuotaLevel.FREE, QuotaLevel.FREE),
        (90, QuotaLevel.FREE, QuotaLevel.NEAR),
        (86, QuotaLevel.NEAR, QuotaLevel.NEAR),
        (84, QuotaLevel.NEAR, QuotaLevel.FREE),
        (100, QuotaLevel.FREE, QuotaLevel.FULL),
        (99, QuotaLevel.FULL, QuotaLevel.NEAR),
    ],
)
def test_a_level_falls_later_than_it_rises(used: int, before: QuotaLevel, after: QuotaLevel) -> None:
    assert level_of(used, 100, before=before) is after


def test_only_folders_of_jobs_that_ran_are_measured_again_within_an_hour(box: Box) -> None:
    jobs = [box.run(10) for _ in range(2)]
    meter = DiskUseMeter(box.paths)
    first = meter.measure((), now=0.0).by_run
    for _, paths in jobs:
        (paths.exports / "more").write_bytes(b"x" * WEIGHTS_BYTES)
    # A finetuning's folder stands for its run's.
    second = meter.measure([jobs[0][1].finetune(3).root], now=MEASURE_ALL_EVERY_S - 1).by_run
    grown = {job.run_id: second[job.run_id] - first[job.run_id] for job, _ in jobs}
    assert list(grown.values()) == [WEIGHTS_BYTES, 0]
    third = meter.measure((), now=MEASURE_ALL_EVERY_S).by_run
    assert third[jobs[1][0].run_id] == second[jobs[0][0].run_id]
