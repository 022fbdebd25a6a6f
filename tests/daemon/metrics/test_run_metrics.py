from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bertd.daemon.metrics.run_metrics import RunMetrics
from bertd.errors import RecipeError
from bertd.jobs.store.database import Database
from bertd.jobs.store.event_log import EventLog
from bertd.jobs.store.queue import Job, Queue
from bertd.metrics.journal_summary import JournalSummary
from bertd.records import (
    JobKind,
    JobState,
)
from bertd.run.journal import append_records
from bertd.run.paths import RunPaths
from tests.jobs.runner_box import recipe_text
from tests.metrics.test_curves import step


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(tmp_path / "queue.db")
    yield database
    database.close()


@pytest.fixture
def job(tmp_path: Path, database: Database) -> Job:
    """A run with a journal of three steps."""
    paths = RunPaths(tmp_path / "1-fake")
    paths.root.mkdir()
    paths.recipe.write_text(recipe_text())
    append_records(paths.journal, [step(number, charged_s=float(number)) for number in range(1, 4)])
    draft = Job(
        id=0,
        kind=JobKind.PRETRAIN,
        name="fake",
        state=JobState.QUEUED,
        reason="",
        priority=0,
        run_id="",
        folder="",
        device_kind="cpu",
        num_devices=1,
        owner_uid=0,
        created_t=0,
    )
    queue = Queue(database, EventLog(database))
    with database.transaction():
        return queue.set_folder(queue.reserve(draft), folder=str(paths.root), run_id="1-fake")


def test_records_are_numbered_from_one_and_given_once(database: Database, job: Job) -> None:
    run_metrics = RunMetrics(database)
    assert [entry.number for entry in run_metrics.open_follower(job).follow()] == [1, 2, 3]
    assert run_metrics.open_follower(job).follow() == []
    assert run_metrics.summary(job).progress.step == 3


def test_a_summary_outlives_the_daemon_without_the_journal(database: Database, job: Job) -> None:
    first = RunMetrics(database)
    first.open_follower(job).follow()
    first.close_follower(job)
    RunPaths(Path(job.folder)).journal.unlink()
    assert RunMetrics(database).summary(job) == first.summary(job)
    database.execute("UPDATE summaries SET summary = '{'")
    assert RunMetrics(database).summary(job) == JournalSummary()


async def test_curves_of_an_old_run_are_read_when_they_are_asked_for(database: Database, job: Job) -> None:
    curves = await RunMetrics(database).curves(job)
    assert len(curves.read(columns=["loss"], axis="step", points=10)["loss"]) == 3


def test_a_recipe_that_is_gone_is_an_error_with_its_place(database: Database, job: Job) -> None:
    RunPaths(Path(job.folder)).recipe.unlink()
    with pytest.raises(RecipeError, match=job.folder):
        RunMetrics(database).recipe(Path(job.folder))
