"""bertd.jobs.store.job_names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bertd.errors import UnknownJobError
from bertd.jobs.store.database import Database
from bertd.jobs.store.event_log import EventLog
from bertd.jobs.store.job_names import find_job, find_run
from bertd.jobs.store.lifecycle import Actor
from bertd.jobs.store.queue import Queue
from bertd.records import JobKind, JobState
from tests.jobs.store.test_queue import submit


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(tmp_path / "queue.db")
    yield database
    database.close()


@pytest.fixture
def queue(database: Database) -> Queue:
    return Queue(database, EventLog(database))


def start(queue: Queue, job_id: int) -> None:
    for state in (JobState.STARTING, JobState.RUNNING):
        actor = Actor.SCHEDULER if state is JobState.STARTING else Actor.RUNNER
        queue.move(job_id, state, reason="x", actor=actor, now=2.0)


def test_at_is_what_runs_and_otherwise_the_newest(queue: Queue, database: Database) -> None:
    for name in ("first", "second", "third"):
        submit(queue, database, name=name)
    finetuning = submit(queue, database, name="cola", kind=JobKind.FINETUNE)
    assert (find_job(queue, "@").id, find_run(queue, "@").id) == (finetuning.id, 3)
    start(queue, 1)
    assert (find_job(queue, "@").id, find_run(queue, "@").id) == (1, 1)
    start(queue, finetuning.id)
    assert (find_job(queue, "@").id, find_run(queue, "@").id) == (finetuning.id, 1)


def test_a_run_that_waits_with_its_memory_comes_after_one_that_trains(queue: Queue, database: Database) -> None:
    for name in ("trains", "hot", "newest"):
        submit(queue, database, name=name)
    start(queue, 2)
    queue.lease(2, {"cpu": 1})
    queue.move(2, JobState.PAUSED, reason="hot", actor=Actor.RUNNER, now=3.0)
    assert find_job(queue, "@").id == 2
    start(queue, 1)
    assert find_job(queue, "@").id == 1


@pytest.mark.parametrize("find", [find_job, find_run])
def test_number_run_id_and_a_name_that_is_unique_are_one_job(queue: Queue, database: Database, find) -> None:  # type: ignore[no-untyped-def]  # either
    submit(queue, database, name="other")
    submit(queue, database, name="third")
    assert {find(queue, text).id for text in ("2", "2-third", "third")} == {2}


def test_a_run_is_meant_before_a_finetuning_of_the_same_name(queue: Queue, database: Database) -> None:
    submit(queue, database, name="cola")
    submit(queue, database, name="cola", kind=JobKind.FINETUNE)
    submit(queue, database, name="mrpc", kind=JobKind.FINETUNE)
    assert find_job(queue, "cola").id == find_run(queue, "cola").id == 1
    assert find_job(queue, "mrpc").id == 3
    with pytest.raises(UnknownJobError, match="'mrpc': no such run"):
        find_run(queue, "mrpc")


def test_a_name_of_several_runs_is_refused_with_their_ids(queue: Queue, database: Database) -> None:
    submit(queue, database, name="demo")
    submit(queue, database, name="demo")
    with pytest.raises(UnknownJobError, match=r"demo: 2 jobs have this name; did you mean 2-demo \(queued\), 1-demo"):
        find_job(queue, "demo")


def test_a_name_that_nothing_has_is_answered_with_the_similar_ones(queue: Queue, database: Database) -> None:
    submit(queue, database, name="third")
    for text in ("thrid", "7-third", "thir"):
        with pytest.raises(UnknownJobError, match=r"did you mean 1-third\? .*`bertd jobs` lists them"):
            find_job(queue, text)
    for text in ("@0", "zzz", "", "²", "9" * 30):
        with pytest.raises(UnknownJobError, match="no such job; give a job's number"):
            find_job(queue, text)
