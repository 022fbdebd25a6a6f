"""bertd.daemon.backup: what is copied, that a copy is complete or refused, and that a restored folder is a queue."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import bertd.daemon.backup.write_backup as write_backup_module
from bertd.daemon.backup.manifest import MANIFEST_NAME, copy_with_hash
from bertd.daemon.backup.read_stopped import read_stopped_queue
from bertd.daemon.backup.restore_backup import restore_backup
from bertd.daemon.backup.write_backup import write_backup
from bertd.daemon.process.state_lock import StateLock
from bertd.errors import BackupError, DaemonBusyError, OutputExistsError, StorageError
from bertd.jobs.store.database import Database
from bertd.jobs.store.event_log import EventLog
from bertd.jobs.store.queue import Queue
from bertd.records import JobState
from bertd.run.checkpoint_index import delete_checkpoint
from bertd.run.paths import TEMPORARY_PREFIX, StatePaths, step_folder_name

ENDED_RUN, LIVE_RUN = "1-done", "2-live"


@pytest.fixture
def state(tmp_path: Path) -> StatePaths:
    paths = StatePaths(tmp_path / "state")
    for run_id in (ENDED_RUN, LIVE_RUN):
        run = paths.run(run_id)
        for step in (100, 200):
            folder = run.checkpoints / step_folder_name(step)
            folder.mkdir(parents=True)
            (folder / "weights").write_bytes(b"w" * 3_000_000)
        (run.exports / step_folder_name(200)).mkdir(parents=True)
        (run.exports / step_folder_name(200) / "config.json").write_text("{}")
        run.journal.write_text("{}\n")
        (run.root / f"{TEMPORARY_PREFIX}x").write_text("half")
    (paths.root / ".inductor").mkdir()
    (paths.root / ".inductor" / "kernel.so").write_text("x")
    (paths.root / "link").symlink_to("/etc")
    Database(paths.queue).close()
    return paths


def back_up(state: StatePaths, out: Path, *, all_checkpoints: bool = False) -> set[str]:
    """The paths that it holds."""
    queue, _ = read_stopped_queue(state.root)
    manifest = write_backup(state, out, queue=queue, unfinished={LIVE_RUN}, now=5.0, all_checkpoints=all_checkpoints)
    return {file.path for file in manifest.files}


def test_it_has_what_a_queue_continues_with_and_nothing_that_is_made_again(state: StatePaths, tmp_path: Path) -> None:
    export = f"exports/{step_folder_name(200)}/config.json"
    assert back_up(state, tmp_path / "out") == {
        "queue.db",
        *(f"runs/{run}/{file}" for run in (ENDED_RUN, LIVE_RUN) for file in ("journal.jsonl", export)),
        f"runs/{LIVE_RUN}/checkpoints/{step_folder_name(200)}/weights",
    }
    assert len([path for path in back_up(state, tmp_path / "all", all_checkpoints=True) if "weights" in path]) == 4


def test_the_newest_checkpoint_is_not_deleted_while_it_is_copied(
    state: StatePaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deleted: list[bool] = []

    def copy(source: Path, target: Path) -> tuple[int, str]:
        if source.name == "weights":
            deleted.append(delete_checkpoint(source.parent))
        return copy_with_hash(source, target)

    monkeypatch.setattr(write_backup_module, "copy_with_hash", copy)
    assert any("weights" in path for path in back_up(state, tmp_path / "out"))
    assert deleted == [False]


def test_of_a_run_that_failed_the_checkpoint_is_copied_from_which_it_is_resumed(tmp_path: Path) -> None:
    database = Database(tmp_path / "queue.db")
    with database.transaction():
        for state in JobState:
            queue_job(database, state)
    ids = Queue(database, EventLog(database)).unfinished_run_ids()
    database.close()
    assert {JobState.FAILED, JobState.LOST, JobState.QUEUED} <= ids
    assert not {JobState.DONE, JobState.CANCELLED} & ids


def queue_job(database: Database, state: JobState) -> None:
    """A run whose id is its state."""
    database.execute(
        "INSERT INTO jobs (kind, name, state, reason, priority, run_id, folder, device_kind, num_devices, owner_uid,"
        " created_t) VALUES ('pretrain', 'x', ?, '', 0, ?, '', 'cpu', 1, 0, 0.0)",
        (state, state),
    )


def test_what_is_restored_is_what_was_backed_up(state: StatePaths, tmp_path: Path) -> None:
    paths = back_up(state, tmp_path / "out")
    restored = tmp_path / "new" / "state"
    restore_backup(tmp_path / "out", restored)
    assert {str(file.relative_to(restored)) for file in restored.rglob("*") if file.is_file()} == paths
    assert (restored / f"runs/{LIVE_RUN}/journal.jsonl").read_text() == "{}\n"
    with pytest.raises(OutputExistsError, match="is not an empty folder"):
        restore_backup(tmp_path / "out", restored)
    with pytest.raises(OutputExistsError, match="exists and is not an empty folder"):
        back_up(state, tmp_path / "out")


def test_a_backup_below_the_state_folder_does_not_hold_itself(state: StatePaths) -> None:
    assert not any("out" in path for path in back_up(state, state.root / "out"))


def test_a_backup_that_was_cut_off_or_changed_is_refused(state: StatePaths, tmp_path: Path) -> None:
    out = tmp_path / "out"
    back_up(state, out)
    weights = out / f"runs/{LIVE_RUN}/checkpoints/{step_folder_name(200)}/weights"
    weights.write_bytes(b"v" + weights.read_bytes()[1:])
    with pytest.raises(BackupError, match="is not as it was backed up"):
        restore_backup(out, tmp_path / "a")
    assert not (tmp_path / "a" / "queue.db").exists()
    weights.unlink()
    with pytest.raises(StorageError, match="No such file.*is not complete; delete it"):
        restore_backup(out, tmp_path / "b")
    manifest = json.loads((out / MANIFEST_NAME).read_text())
    manifest["files"] = [{"path": "../escaped", "size_bytes": 0, "sha256": ""}]
    (out / MANIFEST_NAME).write_text(json.dumps(manifest))
    with pytest.raises(BackupError, match="leads out of the backup"):
        restore_backup(out, tmp_path / "c")
    (out / MANIFEST_NAME).write_text(json.dumps(manifest | {"files": []}))
    with pytest.raises(BackupError, match=r"has no queue\.db"):
        restore_backup(out, tmp_path / "no queue")
    assert not (tmp_path / "no queue" / "queue.db").exists()
    (out / MANIFEST_NAME).unlink()
    with pytest.raises(BackupError, match="not a backup, or one that was cut off"):
        restore_backup(out, tmp_path / "d")


def test_the_file_itself_is_read_only_without_a_daemon(state: StatePaths, tmp_path: Path) -> None:
    lock = StateLock(state.lock, now=0.0)
    # POSIX locks are of a process; another one is needed to see it.
    script = "import sys; from pathlib import Path; from bertd.daemon.backup.read_stopped import read_stopped_queue"
    done = subprocess.run(
        [sys.executable, "-c", f"{script}; read_stopped_queue(Path(sys.argv[1]))", str(state.root)],
        capture_output=True,
        text=True,
        check=False,
    )
    lock.release()
    assert DaemonBusyError.__name__ in done.stderr
    with pytest.raises(StorageError, match="there is no queue to back up"):
        read_stopped_queue(tmp_path)


def test_nobody_else_can_read_a_copy_before_it_has_the_mode_of_its_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = tmp_path / "command.json", tmp_path / "copy" / "command.json"
    source.write_text("environment")
    source.chmod(0o600)
    monkeypatch.setattr(Path, "chmod", lambda path, mode: None)
    assert copy_with_hash(source, target)[0] == len("environment")
    assert target.stat().st_mode & 0o777 == 0o600
