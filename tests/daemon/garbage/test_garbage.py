"""bertd.daemon.garbage: only what nothing needs is found, and what was found is looked at again before it goes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from bertd.api.models import GarbageRequest
from bertd.daemon.garbage import collect
from bertd.daemon.garbage.collect import GarbageCollector, Taken, garbage_of, remove
from bertd.daemon.garbage.find_garbage import Garbage, find_garbage
from bertd.errors import StorageError
from bertd.jobs.store.database import Database
from bertd.jobs.store.event_log import EventLog
from bertd.jobs.store.lifecycle import Actor
from bertd.jobs.store.queue import Job, Queue
from bertd.records import JobKind, JobState, KeptCheckpoint, KeptCheckpoints
from bertd.run.checkpoint_index import read_checkpoint_index, write_checkpoint_index
from bertd.run.paths import TRASH_PREFIX, RunPaths, step_folder_name

STEPS = (100, 200, 300)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(tmp_path / "queue.db")
    yield database
    database.close()


@pytest.fixture
def queue(database: Database) -> Queue:
    return Queue(database, EventLog(database))


@pytest.fixture
def collector(database: Database, queue: Queue) -> GarbageCollector:
    return GarbageCollector(queue, EventLog(database))


def ended_job(
    queue: Queue,
    database: Database,
    folder: Path,
    *,
    kind: JobKind = JobKind.PRETRAIN,
    state: JobState = JobState.FAILED,
) -> Job:
    draft = Job(
        *(0, kind, "a", JobState.QUEUED, "", 0, "", "", "cpu", 1, 0, 1.0),
    )
    with database.transaction():
        reserved = queue.reserve(draft)
        job = queue.set_folder(reserved, folder=str(folder), run_id=f"{reserved.id}-a")
    queue.move(job.id, JobState.STARTING, reason="", actor=Actor.SCHEDULER, now=2.0)
    actor = Actor.SCHEDULER if state is JobState.LOST else Actor.RUNNER
    return queue.move(job.id, state, reason="", actor=actor, now=100.0)


def make_run(folder: Path, *, markers: dict[int, float], exports: tuple[int, ...] = (300,)) -> RunPaths:
    paths = RunPaths(folder)
    kept = []
    for step in STEPS:
        name = step_folder_name(step)
        (paths.checkpoints / name).mkdir(parents=True)
        (paths.checkpoints / name / "weights").write_bytes(b"x" * 10_000)
        marked = [markers[step]] if step in markers else []
        kept.append(
            KeptCheckpoint(
                name=name,
                step=step,
                progress=step / 300,
                size_bytes=10_000,
                validation_loss=None,
                markers=marked,
                reasons=[],
            )
        )
    for step in exports:
        (paths.exports / step_folder_name(step)).mkdir(parents=True)
    write_checkpoint_index(paths, KeptCheckpoints(checkpoints=kept[::-1]))
    return paths


def steps_found(job: Job, *, all_checkpoints: bool = False) -> list[int]:
    return sorted(int(each.folder.name[5:]) for each in find_garbage(job, all_checkpoints=all_checkpoints))


def take_away(
    collector: GarbageCollector, found: list[Garbage], *, database: Database, asked_by: str = "ada"
) -> list[Taken]:
    """What is then to be removed."""
    taken: list[Taken] = []
    with database.transaction():
        collector.take_away(found, taken=taken, asked_by=asked_by, now=200.0)
    return taken


def test_the_newest_checkpoint_and_markers_without_an_export_stay(
    tmp_path: Path, queue: Queue, database: Database
) -> None:
    make_run(tmp_path / "run", markers={100: 0.3, 200: 0.6}, exports=(200, 300))
    job = ended_job(queue, database, tmp_path / "run", state=JobState.DONE)
    assert steps_found(job) == [200]
    assert steps_found(job, all_checkpoints=True) == [100, 200, 300]
    (tmp_path / "run" / "checkpoints" / "kept.json").write_text("?")
    assert steps_found(job) == []


def test_without_an_export_the_newest_checkpoint_never_goes(tmp_path: Path, queue: Queue, database: Database) -> None:
    make_run(tmp_path / "run", markers={}, exports=())
    done = ended_job(queue, database, tmp_path / "run", state=JobState.DONE)
    assert steps_found(done, all_checkpoints=True) == [100, 200]


def test_what_a_failed_run_is_resumed_from_never_goes(tmp_path: Path, queue: Queue, database: Database) -> None:
    make_run(tmp_path / "run", markers={})
    assert steps_found(ended_job(queue, database, tmp_path / "run"), all_checkpoints=True) == [100, 200]


def test_a_job_that_has_not_ended_has_no_garbage(tmp_path: Path, queue: Queue, database: Database) -> None:
    make_run(tmp_path / "run", markers={})
    job = ended_job(queue, database, tmp_path / "run")
    again = queue.move(job.id, JobState.QUEUED, reason="", actor=Actor.PERSON, now=200.0)
    assert steps_found(again) == []


def test_states_after_epochs_go_and_models_stay(tmp_path: Path, queue: Queue, database: Database) -> None:
    for folder in ("grid/trials/t1/epoch", "grid/trials/t1/model", "grid/trials/t2/epoch", "grid/epoch"):
        (tmp_path / folder).mkdir(parents=True)
    job = ended_job(queue, database, tmp_path / "grid", kind=JobKind.GRID, state=JobState.DONE)
    found = [str(each.folder.relative_to(tmp_path)) for each in find_garbage(job)]
    assert found == ["grid/epoch", "grid/trials/t1/epoch", "grid/trials/t2/epoch"]


@pytest.mark.parametrize("state", [JobState.FAILED, JobState.LOST])
def test_the_state_from_which_a_finetuning_that_failed_is_resumed_stays(
    tmp_path: Path, queue: Queue, database: Database, state: JobState
) -> None:
    (tmp_path / "tune" / "epoch").mkdir(parents=True)
    job = ended_job(queue, database, tmp_path / "tune", kind=JobKind.FINETUNE, state=state)
    assert find_garbage(job) == []


def test_nothing_goes_of_what_a_command_has_written(tmp_path: Path, queue: Queue, database: Database) -> None:
    for folder in ("job/epoch", f"job/{TRASH_PREFIX}epoch", "job/trials/t1/epoch"):
        (tmp_path / folder).mkdir(parents=True)
    assert find_garbage(ended_job(queue, database, tmp_path / "job", kind=JobKind.COMMAND, state=JobState.DONE)) == []


def test_what_is_deleted_leaves_the_index_and_the_disk(
    tmp_path: Path, queue: Queue, database: Database, collector: GarbageCollector
) -> None:
    paths = make_run(tmp_path / "run", markers={})
    job = ended_job(queue, database, tmp_path / "run")
    found = garbage_of(collector.jobs(GarbageRequest(jobs=["1", "1"]), now=200.0), all_checkpoints=False)
    taken = take_away(collector, found, database=database, asked_by="ada (uid 7)")
    assert [kept.step for kept in read_checkpoint_index(paths).checkpoints] == [300]
    remove(taken)
    assert sorted(entry.name for entry in paths.checkpoints.iterdir()) == ["kept.json", step_folder_name(300)]
    assert EventLog(database).newest(1)[0].text == f"job {job.id} a: 2 folders, 24.0 KiB, deleted by ada (uid 7)"


def test_a_job_that_continues_meanwhile_keeps_everything(
    tmp_path: Path, queue: Queue, database: Database, collector: GarbageCollector
) -> None:
    paths = make_run(tmp_path / "run", markers={})
    job = ended_job(queue, database, tmp_path / "run")
    found = garbage_of(collector.jobs(GarbageRequest(), now=200.0), all_checkpoints=True)
    assert len(found) == 2
    queue.move(job.id, JobState.QUEUED, reason="", actor=Actor.PERSON, now=200.0)
    assert take_away(collector, found, database=database) == []
    assert len([*paths.checkpoints.iterdir()]) == 4


def test_only_of_jobs_that_ended_long_enough_ago(
    tmp_path: Path, queue: Queue, database: Database, collector: GarbageCollector
) -> None:
    job = ended_job(queue, database, tmp_path)
    assert collector.jobs(GarbageRequest(older_than_s=50.0), now=149.0) == []
    assert collector.jobs(GarbageRequest(older_than_s=50.0), now=150.0) == [job]


def test_what_a_deletion_that_was_cut_off_has_left_is_found(
    tmp_path: Path, queue: Queue, database: Database, collector: GarbageCollector
) -> None:
    paths = make_run(tmp_path / "run", markers={})
    job = ended_job(queue, database, tmp_path / "run")
    os.rename(paths.checkpoints / step_folder_name(100), paths.checkpoints / (TRASH_PREFIX + step_folder_name(100)))  # noqa: PTH104  # As a crash leaves it.
    found = [each for each in find_garbage(job) if each.folder.name.startswith(TRASH_PREFIX)]
    remove(take_away(collector, found, database=database))
    assert not found[0].folder.exists()


def test_a_state_after_an_epoch_that_was_partly_deleted_is_found_and_one_of_its_name_can_go(
    tmp_path: Path, queue: Queue, database: Database, collector: GarbageCollector
) -> None:
    for folder in (f"{TRASH_PREFIX}epoch", "epoch", f"{TRASH_PREFIX}model-7"):
        (tmp_path / "tune" / folder).mkdir(parents=True)
        (tmp_path / "tune" / folder / "state").write_text("x")
    found = find_garbage(ended_job(queue, database, tmp_path / "tune", kind=JobKind.FINETUNE, state=JobState.DONE))
    remove(take_away(collector, found, database=database))
    assert [entry.name for entry in (tmp_path / "tune").iterdir()] == [f"{TRASH_PREFIX}model-7"]


def test_a_full_disk_gets_room_though_nothing_can_be_noted(
    tmp_path: Path, queue: Queue, database: Database, collector: GarbageCollector, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = make_run(tmp_path / "run", markers={})
    found = find_garbage(ended_job(queue, database, tmp_path / "run"))
    taken: list[Taken] = []

    def refuse(*_: object) -> None:
        raise StorageError("no space")

    with monkeypatch.context() as patch, pytest.raises(StorageError), database.transaction():
        patch.setattr(collect, "write_checkpoint_index", refuse)
        collector.take_away(found, taken=taken, asked_by="ada", now=200.0)
    remove(taken)
    assert [entry.name for entry in paths.checkpoints.iterdir() if entry.is_dir()] == [step_folder_name(300)]
