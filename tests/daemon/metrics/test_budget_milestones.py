"""Half and nine tenths of a budget are reported once in a run's life, whatever restarts in between."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bertd.daemon.metrics.journal_follower import JournalFollower
from bertd.daemon.metrics.run_metrics import RunMetrics
from bertd.run.journal import append_records
from bertd.run.paths import JobPaths
from tests.daemon.api.in_process_api import InProcessApi
from tests.metrics.test_curves import step


@pytest.fixture
def api(tmp_path: Path) -> Iterator[InProcessApi]:
    api = InProcessApi(tmp_path)
    yield api
    api.close()


def follow_as_a_daemon_started_now(api: InProcessApi, job_id: int) -> None:
    follower = JournalFollower(
        database=api.database,
        queue=api.queue,
        events=api.events,
        run_metrics=RunMetrics(api.database),
        clock=lambda: 5.0,
    )
    while follower.follow(api.queue.get(job_id)):
        pass


def milestones(api: InProcessApi) -> list[tuple[object, object]]:
    rows = [event for event in api.events.newest(100) if event.type == "milestone"]
    return [(row.data["share"], row.data["step"]) for row in rows]


def test_each_share_is_reported_once_whatever_restarts(api: InProcessApi) -> None:
    job = api.queue.get(api.submit())
    journal = JobPaths(Path(job.folder)).journal
    append_records(journal, [step(9, charged_s=9)])
    follow_as_a_daemon_started_now(api, job.id)
    assert milestones(api) == []
    append_records(journal, [step(10, charged_s=10)])
    follow_as_a_daemon_started_now(api, job.id)
    follow_as_a_daemon_started_now(api, job.id)
    assert milestones(api) == [(0.5, 10)]
    append_records(journal, [step(11, charged_s=11), step(19, charged_s=19)])
    follow_as_a_daemon_started_now(api, job.id)
    # After a restart of the ranks the run reaches them again.
    append_records(journal, [step(9, charged_s=20), step(20, charged_s=30)])
    follow_as_a_daemon_started_now(api, job.id)
    assert milestones(api) == [(0.5, 10), (0.9, 19)]
    assert api.events.newest(1)[0].text == f"{job.run_id}: 90.0% of the budget is spent, at step 19"


def test_a_run_that_is_past_both_at_the_first_look_reports_both(api: InProcessApi) -> None:
    job = api.queue.get(api.submit())
    append_records(JobPaths(Path(job.folder)).journal, [step(20, charged_s=20)])
    follow_as_a_daemon_started_now(api, job.id)
    assert milestones(api) == [(0.5, 20), (0.9, 20)]
