from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bertd.errors import QueueError, TransitionError, UnknownJobError
from bertd.jobs.store import event_log
from bertd.jobs.store import queue as queue_module
from bertd.jobs.store.audit import Answer, Audit, Peer
from bertd.jobs.store.database import Database
from bertd.jobs.store.event_log import EventLog
from bertd.jobs.store.leases import Lease, Leases
from bertd.jobs.store.lifecycle import Actor
from bertd.jobs.store.queue import Job, Queue
from bertd.records import JobKind, JobState

PEER = Peer(uid=1000, gid=1000, pid=1)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(tmp_path / "queue.db")
    yield database
    database.close()


@pytest.fixture
def events(database: Database) -> EventLog:
    return EventLog(database)


@pytest.fixture
def queue(database: Database, events: EventLog) -> Queue:
    return Queue(database, events)


def submit(
    queue: Queue,
    database: Database,
    *,
    name: str = "a",
    kind: JobKind = JobKind.PRETRAIN,
    priority: int = 0,
    folder: str | None = None,
) -> Job:
    draft = Job(
        id=0,
        kind=kind,
        name=name,
        state=JobState.QUEUED,
        reason="submitted",
        priority=priority,
        run_id="",
        folder="",
        device_kind="cpu",
        num_devices=1,
        owner_uid=0,
        created_t=1.0,
    )
    with database.transaction():
        reserved = queue.reserve(draft)
        return queue.set_folder(reserved, folder=folder or f"/runs/{reserved.id}", run_id=f"{reserved.id}-{name}")


def test_the_folders_of_jobs_move_with_the_state_folder(tmp_path: Path) -> None:
    before, after = tmp_path / "before", tmp_path / "after"
    before.mkdir()
    database = Database(before / "queue.db")
    queue = Queue(database, EventLog(database))
    inside, outside = (submit(queue, database, folder=folder) for folder in (f"{before}/runs/1-a", "/elsewhere/2-a"))
    assert (inside.folder, queue.get(inside.id)) == (f"{before}/runs/1-a", inside)
    database.close()
    before.rename(after)
    database = Database(after / "queue.db")
    queue = Queue(database, EventLog(database))
    assert [queue.get(job.id).folder for job in (inside, outside)] == [f"{after}/runs/1-a", "/elsewhere/2-a"]
    # A queue that was salvaged is in another folder.
    assert Queue(database, EventLog(database), root=before).get(inside.id) == inside
    database.close()


def test_what_is_put_in_is_got_back(queue: Queue, database: Database) -> None:
    job = submit(queue, database)
    assert queue.get(job.id) == job
    assert queue.newest() == job
    assert queue.get_by_run("1-a") == job


def test_an_unknown_job_is_an_error_that_says_where_to_look(queue: Queue) -> None:
    with pytest.raises(UnknownJobError, match="job 7: no such job; `bertd jobs`"):
        queue.get(7)
    with pytest.raises(UnknownJobError, match="no job yet"):
        queue.newest()


def test_a_rolled_back_submission_leaves_nothing(queue: Queue, database: Database, events: EventLog) -> None:
    with pytest.raises(ZeroDivisionError), database.transaction():
        submit(queue, database)
        raise ZeroDivisionError
    assert queue.most_relevant(limit=10) == []
    assert events.last_id() == 0


def test_numbers_start_above_the_folders_of_an_earlier_queue(queue: Queue, database: Database) -> None:
    queue.reserve_ids_up_to(41)
    assert submit(queue, database).id == 42
    queue.reserve_ids_up_to(7)
    assert submit(queue, database).id == 43


def test_jobs_wait_by_priority_and_then_by_age(queue: Queue, database: Database) -> None:
    for priority in (0, 5, 0, 5):
        submit(queue, database, priority=priority)
    assert [job.id for job in queue.waiting()] == [2, 4, 1, 3]
    queue.update(4, priority=9, reason="first")
    queue.move(2, JobState.STARTING, reason="starts", actor=Actor.SCHEDULER, now=2.0)
    with pytest.raises(ZeroDivisionError), database.transaction():
        submit(queue, database, priority=7)
        assert len(queue.waiting()) == 4
        raise ZeroDivisionError
    assert queue.waiting() == [queue.get(4), queue.get(1), queue.get(3)]


CHANGES = st.lists(
    st.tuples(
        st.sampled_from(["submit", "undone submit", "priority", "undone priority", "reason", "start", "hold", "many"]),
        st.integers(0, 9),
        st.booleans(),
    ),
    max_size=25,
)


@settings(max_examples=30)
@given(CHANGES)
def test_the_waiting_jobs_in_memory_are_always_those_of_the_table(
    changes: list[tuple[str, int, bool]],
) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(queue_module, "_MAX_STALE", 2)
        database = Database(Path(folder) / "queue.db")
        queue = Queue(database, EventLog(database))
        for change, number, looks in changes:
            _change_queue(queue, database, change, number)
            if looks:
                # One that has looked at nothing yet.
                assert queue.waiting() == Queue(database, EventLog(database)).waiting()
        assert queue.waiting() == Queue(database, EventLog(database)).waiting()
        database.close()


def _change_queue(queue: Queue, database: Database, change: str, number: int) -> None:
    queued = queue.waiting() if number % 2 else Queue(database, EventLog(database)).waiting()
    job = queued[number % len(queued)] if queued else None
    if change == "submit":
        submit(queue, database, priority=number % 3)
    elif change == "many":
        with database.transaction():
            for _ in range(3):
                submit(queue, database)
    elif change == "undone submit":
        with pytest.raises(ZeroDivisionError), database.transaction():
            submit(queue, database)
            queue.waiting()
            raise ZeroDivisionError
    elif job is None:
        return
    elif change == "undone priority":
        with pytest.raises(ZeroDivisionError), database.transaction():
            queue.update(job.id, priority=number)
            queue.waiting()
            raise ZeroDivisionError
    elif change == "priority":
        queue.update(job.id, priority=number)
    elif change == "reason":
        queue.set_reasons([(job.id, f"reason {number}")])
    else:
        state = JobState.STARTING if change == "start" else JobState.HELD
        queue.move(job.id, state, reason="", actor=Actor.SCHEDULER if change == "start" else Actor.PERSON, now=2.0)


def test_a_move_changes_the_row_and_tells_the_stream_at_once(
    queue: Queue, database: Database, events: EventLog
) -> None:
    job = submit(queue, database)
    moved = queue.move(job.id, JobState.STARTING, reason="starts", actor=Actor.SCHEDULER, now=2.0)
    assert (moved.state, moved.started_t, moved.ended_t) == (JobState.STARTING, 2.0, None)
    assert queue.get(job.id) == moved
    assert events.newest(1)[0].text == "job 1 a is starting: starts"


def test_a_move_that_the_lifecycle_forbids_changes_nothing(queue: Queue, database: Database, events: EventLog) -> None:
    job = submit(queue, database)
    with pytest.raises(TransitionError):
        queue.move(job.id, JobState.DONE, reason="", actor=Actor.RUNNER, now=2.0)
    assert queue.get(job.id) == job
    assert events.last_id() == 1


def test_a_job_that_is_over_has_an_end_and_loses_it_when_it_goes_on(queue: Queue, database: Database) -> None:
    job = submit(queue, database)
    queue.move(job.id, JobState.STARTING, reason="", actor=Actor.SCHEDULER, now=2.0)
    assert queue.move(job.id, JobState.FAILED, reason="", actor=Actor.RUNNER, now=3.0).ended_t == 3.0
    assert queue.move(job.id, JobState.QUEUED, reason="", actor=Actor.PERSON, now=4.0).ended_t is None


def test_a_users_jobs_are_counted_until_they_end(queue: Queue, database: Database) -> None:
    assert queue.num_unended(owner_uid=0) == 0
    ended, _ = submit(queue, database), submit(queue, database)
    assert (queue.num_unended(owner_uid=0), queue.num_unended(owner_uid=7)) == (2, 0)
    queue.move(ended.id, JobState.CANCELLED, reason="", actor=Actor.PERSON, now=2.0)
    assert queue.num_unended(owner_uid=0) == 1


def test_jobs_that_are_over_come_behind_the_rest(queue: Queue, database: Database) -> None:
    for _ in range(3):
        submit(queue, database)
    queue.move(3, JobState.CANCELLED, reason="", actor=Actor.PERSON, now=2.0)
    assert [job.id for job in queue.most_relevant(limit=10)] == [2, 1, 3]


def test_leases_are_given_and_taken_back(queue: Queue, database: Database) -> None:
    job = submit(queue, database)
    queue.lease(job.id, {"cpu": 2})
    assert queue.leases() == Leases((Lease(1, "cpu", 2),))
    queue.release(job.id)
    assert queue.leases() == Leases()


def test_events_are_read_from_an_id_on_and_keep_their_data(database: Database, events: EventLog) -> None:
    for number in range(5):
        with database.transaction():
            events.append("x", f"{number}", now=1.0, job_id=1, run_id="1-a", data={"loss": float("inf")})
    assert [event.text for event in events.since(2, limit=2)] == ["2", "3"]
    assert [event.text for event in events.newest(2)] == ["3", "4"]
    assert events.newest(1)[0].data == {"loss": float("inf")}


def test_an_events_text_cannot_move_a_terminals_cursor(database: Database, events: EventLog) -> None:
    with database.transaction():
        events.append("x", "a\x1b]52;c;eA==\x07b\nc", now=1.0, job_id=None, run_id=None, data={})
    assert events.newest(1)[0].text == "a\\x1b]52;c;eA==\\x07b c"


def test_the_event_log_is_bounded_and_its_ids_go_on(
    database: Database, events: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_log, "MAX_EVENTS", 10)
    with database.transaction():
        for number in range(1500):
            events.append("x", f"{number}", now=1.0, job_id=None, run_id=None, data={})
    kept = events.since(0, limit=5000)
    assert kept[0].id == 1000 - 10 + 1
    assert kept[-1].id == 1500


def test_an_answer_is_remembered_for_its_peer_and_request_alone(database: Database) -> None:
    audit = Audit(database)
    answer = Answer(status=201, body="{}")
    with database.transaction():
        audit.remember(PEER, answer, key="k", request="POST /v1/jobs abc", now=1.0)
    assert audit.recall(PEER, key="k", request="POST /v1/jobs abc") == answer
    assert audit.recall(Peer(uid=1001, gid=1, pid=1), key="k", request="POST /v1/jobs abc") is None
    with pytest.raises(QueueError, match="Idempotency-Key k: used before for another request"):
        audit.recall(PEER, key="k", request="POST /v1/jobs other")


def test_answers_are_forgotten_when_there_are_too_many(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bertd.jobs.store.audit.MAX_ANSWERS", 10)
    audit = Audit(database)
    for number in range(100):
        with database.transaction():
            audit.remember(PEER, Answer(status=200, body="{}"), key=str(number), request="r", now=float(number))
            audit.append(PEER, request="r", key=str(number), status=200, message="", now=float(number))
    assert audit.recall(PEER, key="99", request="r") is not None
    assert audit.recall(PEER, key="80", request="r") is None


def test_what_runs_is_always_among_the_most_relevant_and_then_what_is_next(queue: Queue, database: Database) -> None:
    running, low, high = (submit(queue, database, name=name, priority=n) for name, n in (("r", 0), ("l", 0), ("h", 1)))
    done = submit(queue, database, name="d")
    held = [submit(queue, database, name="x").id for _ in range(5)]
    for id in held:
        queue.move(id, JobState.HELD, reason="x", actor=Actor.PERSON, now=2.0)
    queue.move(done.id, JobState.CANCELLED, reason="x", actor=Actor.PERSON, now=2.0)
    queue.move(running.id, JobState.STARTING, reason="x", actor=Actor.SCHEDULER, now=2.0)

    def shown(limit: int) -> list[int]:
        return [job.id for job in queue.most_relevant(limit=limit)]

    assert shown(0) == shown(1) == [running.id]
    assert shown(2) == [high.id, running.id]
    assert shown(3) == [high.id, low.id, running.id]
    assert shown(4) == [held[-1], high.id, low.id, running.id]
    assert shown(100) == [*reversed(held), high.id, low.id, running.id, done.id]


def test_pages_hold_every_job_once(queue: Queue, database: Database) -> None:
    ids = [submit(queue, database).id for _ in range(7)]
    seen: list[int] = []
    while page := queue.page(before=min(seen, default=2**63 - 1), limit=3):
        seen += [job.id for job in page]
    assert seen == ids[::-1]
