"""bertd.jobs.store.salvage: rows around the damage are read, and the file itself is not touched."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from bertd.jobs.store.database import Database
from bertd.jobs.store.event_log import EventLog
from bertd.jobs.store.queue import Queue
from bertd.jobs.store.salvage import salvage
from bertd.jobs.store.schema import SCHEMA_VERSION
from bertd.jobs.store.tables.lend_table import LendTable

_INSERT = """INSERT INTO jobs (kind, name, state, reason, priority, run_id, folder, device_kind, num_devices, owner_uid,
created_t) VALUES ('pretrain', ?, 'done', ?, 0, '', '', 'cpu', 1, 0, 0.0)"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "queue.db"


def fill(path: Path, *, num_jobs: int) -> None:
    database = Database(path)
    with database.transaction():
        for number in range(num_jobs):
            database.execute(_INSERT, (f"job-{number}", "x" * 500))
        database.execute("INSERT INTO leases (job_id, device, slots) VALUES (1, 'cpu', 2)")
    database.close()


def ids(database: Database) -> set[int]:
    return {row["id"] for row in database.execute("SELECT id FROM jobs").fetchall()}


def test_rows_before_and_after_the_damage_are_read(path: Path, tmp_path: Path) -> None:
    fill(path, num_jobs=400)
    content = bytearray(path.read_bytes())
    middle = content.index(b"job-200x" if b"job-200x" in content else b"job-200") // 4096 * 4096
    content[middle : middle + 4096] = b"\xff" * 4096
    path.write_bytes(content)
    (folder := tmp_path / "salvaged").mkdir()
    database = salvage(path, folder=folder)
    assert database is not None
    found = ids(database)
    assert {1, 2, 399, 400} <= found and 201 not in found
    assert len(found) > 380
    assert database.execute("SELECT slots FROM leases").fetchone()["slots"] == 2
    database.close()
    assert path.read_bytes() == content


def test_a_newer_queue_is_read_by_the_columns_that_are_known(path: Path, tmp_path: Path) -> None:
    fill(path, num_jobs=3)
    with sqlite3.connect(path) as connection:
        connection.executescript("ALTER TABLE jobs ADD COLUMN mood TEXT; CREATE TABLE moods (a);")
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    connection.close()
    (folder := tmp_path / "salvaged").mkdir()
    database = salvage(path, folder=folder)
    assert database is not None and ids(database) == {1, 2, 3}
    database.close()


@pytest.mark.parametrize("column", ["kind", "state"])
def test_a_job_of_a_kind_or_state_that_only_the_newer_bertd_knows_hides_no_other(
    column: str, path: Path, tmp_path: Path
) -> None:
    fill(path, num_jobs=3)
    with sqlite3.connect(path) as connection:
        connection.execute(f"UPDATE jobs SET {column} = 'distil' WHERE id = 1")  # noqa: S608  # A parameter of this test.
    connection.close()
    (folder := tmp_path / "salvaged").mkdir()
    database = salvage(path, folder=folder)
    assert database is not None
    assert {job.id for job in Queue(database, EventLog(database)).most_relevant(limit=10)} == {2, 3}
    database.close()


@pytest.mark.parametrize("content", [b"a letter\n" * 400, b""])
def test_nothing_is_made_of_what_has_no_job(content: bytes, path: Path, tmp_path: Path) -> None:
    path.write_bytes(content)
    (folder := tmp_path / "salvaged").mkdir()
    assert salvage(path, folder=folder) is None


@pytest.mark.parametrize(("column", "value"), [("state", "distilling"), ("devices", "{"), ("devices", '{"cpu": "x"}')])
def test_a_lend_that_this_version_cannot_read_hides_no_other(
    column: str, value: str, path: Path, tmp_path: Path
) -> None:
    fill(path, num_jobs=3)
    database = Database(path)
    table = LendTable(database)
    with database.transaction():
        for run in (1, 2):
            lend = table.insert(run_job_id=run, reason="", is_hot=False, asked_by="", devices={"cpu": 1}, now=0.0)
            table.add_job(lend, 3, expected_s=None)
        database.execute(f"UPDATE lends SET {column} = ? WHERE id = 1", (value,))  # noqa: S608  # of this test
    database.close()
    (folder := tmp_path / "salvaged").mkdir()
    salvaged = salvage(path, folder=folder)
    assert salvaged is not None
    assert [lend.run_job_id for lend in LendTable(salvaged).open()] == [2]
    salvaged.close()
