from __future__ import annotations

import errno
import sqlite3
import stat
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest

from bertd.errors import DaemonError, StorageError
from bertd.jobs.store.database import Database
from bertd.jobs.store.event_log import EventLog
from bertd.jobs.store.leases import Lease, Leases
from bertd.jobs.store.queue import Queue
from bertd.jobs.store.schema import FIRST_SCHEMA, SCHEMA_VERSION, UPGRADES
from bertd.jobs.store.tables.dependency_table import DependencyTable
from bertd.jobs.store.tables.energy_table import EnergyRow, EnergyTable
from bertd.jobs.store.tables.lend_table import LendTable
from bertd.jobs.store.tables.marker_grid_table import MarkerGridTable
from bertd.jobs.store.tables.retry_table import Retries, RetryTable
from bertd.jobs.store.tables.software_table import SoftwareTable
from bertd.jobs.store.tables.start_times_table import StartTimesTable
from bertd.jobs.store.tables.sweep_table import Sweep, SweepTable
from bertd.records import (
    DailyHours,
    Dependency,
    DependencyCondition,
    JobState,
    LendState,
    Software,
    StartTimes,
    SweepSpec,
    SweepState,
)
from tests.jobs.runner_box import with_tests_on_path
from tests.waiting import PATIENCE_S

WRITER = """
import sys
from pathlib import Path
from bertd.jobs.store.database import Database
from bertd.jobs.store.event_log import EventLog
database = Database(Path(sys.argv[1]))
log = EventLog(database)
while True:
    with database.transaction():
        id = log.append("test", "row", now=0.0, job_id=None, run_id=None, data={})
    print(id, flush=True)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "queue.db"


def test_a_new_database_is_durable_and_strict(path: Path) -> None:
    database = Database(path)
    assert database.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
    assert database.execute("PRAGMA synchronous").fetchone()[0] == 2
    assert database.execute("PRAGMA user_version").fetchone()[0] == SCHEMA_VERSION
    with pytest.raises(sqlite3.IntegrityError):
        database.execute("INSERT INTO leases (job_id, device, slots) VALUES ('x', 'cpu', 1)")


def test_a_queue_of_the_first_version_is_taken_over_with_its_leases(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.executescript(f"{FIRST_SCHEMA} PRAGMA user_version = 1;")
    values = "1, 'pretrain', 'x', 'running', '', 0, '1-x', '/r', 'gpu', 1, 0, 0.0"
    columns = "id, kind, name, state, reason, priority, run_id, folder, device_kind, num_devices, owner_uid, created_t"
    connection.executescript(
        f"INSERT INTO jobs ({columns}) VALUES ({values}); INSERT INTO leases VALUES (1, 'GPU-a', 1);"  # noqa: S608  # no input
    )
    connection.close()
    for _ in range(2):
        database = Database(path)
        assert Queue(database, EventLog(database)).leases() == Leases((Lease(1, "GPU-a", 1, parts=1),))
        assert database.execute("PRAGMA user_version").fetchone()[0] == SCHEMA_VERSION
        database.close()


def test_a_queue_of_the_second_version_keeps_its_rows_and_gets_sweeps(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.executescript(f"{FIRST_SCHEMA} {UPGRADES[0]} PRAGMA user_version = 2;")
    values = "1, 'pretrain', 'x', 'paused', 'by a person', 0, '1-x', '/r', 'gpu', 1, 0, 0.0"
    columns = "id, kind, name, state, reason, priority, run_id, folder, device_kind, num_devices, owner_uid, created_t"
    connection.executescript(
        f"INSERT INTO jobs ({columns}) VALUES ({values});"  # noqa: S608  # no input
        "INSERT INTO events (t, type, text, data) VALUES (1.0, 'job', 'x', '{}');"
    )
    connection.close()
    spec = SweepSpec(name="rates", end_s=None, grid={"optimizer.peak_lr": [1, 2]})
    draft = Sweep(0, SweepState.RUNNING, "", spec, recipe_toml="", recipe_name="", priority=0, owner_uid=0, created_t=0)
    for number in (1, 2):
        database = Database(path)
        events = EventLog(database)
        job = Queue(database, events).get(1)
        assert (job.state, job.reason, job.run_id) == (JobState.PAUSED, "by a person", "1-x")
        assert events.last_id() == number
        table = SweepTable(database, events)
        if number == 1:
            table.insert(draft, num_settings=2)
        assert (table.get("rates").spec, len(table.settings(1))) == (spec, 2)
        assert database.execute("PRAGMA user_version").fetchone()[0] == SCHEMA_VERSION
        database.close()


def test_a_queue_of_the_third_version_gets_the_grids_of_runs(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.executescript(f"{FIRST_SCHEMA} {UPGRADES[0]} {UPGRADES[1]} PRAGMA user_version = 3;")
    values = "1, 'pretrain', 'x', 'queued', '', 0, '1-x', '/r', 'gpu', 1, 0, 0.0"
    columns = "id, kind, name, state, reason, priority, run_id, folder, device_kind, num_devices, owner_uid, created_t"
    connection.executescript(f"INSERT INTO jobs ({columns}) VALUES ({values});")  # noqa: S608  # no input
    connection.close()
    database = Database(path)
    table = MarkerGridTable(database, EventLog(database))
    with database.transaction():
        table.insert(1, [0.5, 1.0])
    database.close()
    database = Database(path)
    (first, last) = MarkerGridTable(database, EventLog(database)).waiting()
    assert (first.run_job_id, first.marker, last.marker) == (1, 0.5, 1.0)
    assert Queue(database, EventLog(database)).get(1).state is JobState.QUEUED
    database.close()


def test_a_queue_of_the_fifth_version_gets_dependencies(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.executescript(f"{FIRST_SCHEMA} {' '.join(UPGRADES[:4])} PRAGMA user_version = 5;")
    columns = "id, kind, name, state, reason, priority, run_id, folder, device_kind, num_devices, owner_uid, created_t"
    for id in (1, 2):
        values = f"{id}, 'pretrain', 'x', 'queued', '', 0, '{id}-x', '/r', 'gpu', 1, 0, 0.0"
        connection.executescript(f"INSERT INTO jobs ({columns}) VALUES ({values});")  # noqa: S608  # no input
    connection.close()
    database = Database(path)
    dependency = Dependency(on_job_id=1, condition=DependencyCondition.MARKER, marker=0.5)
    with database.transaction():
        DependencyTable(database).insert(2, [dependency])
    database.close()
    database = Database(path)
    table = DependencyTable(database)
    assert table.of_job(2) == [dependency] and table.of_queued() == {2: [dependency]}
    table.waive_broken(2)
    assert table.of_queued() == {2: [dependency]}
    with database.transaction():
        table.mark_broken(2, on_job_ids=[1])
    table.waive_broken(2)
    assert table.of_queued() == {} and len(table.of_job(2)) == 1
    assert Queue(database, EventLog(database)).get(1).state is JobState.QUEUED
    database.close()


def test_a_queue_of_the_sixth_version_gets_start_times(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.executescript(f"{FIRST_SCHEMA} {' '.join(UPGRADES[:5])} PRAGMA user_version = 6;")
    columns = "id, kind, name, state, reason, priority, run_id, folder, device_kind, num_devices, owner_uid, created_t"
    for id, state in enumerate(("queued", "running", "done"), start=1):
        values = f"{id}, 'pretrain', 'x', '{state}', '', 0, '{id}-x', '/r', 'gpu', 1, 0, 0.0"
        connection.executescript(f"INSERT INTO jobs ({columns}) VALUES ({values});")  # noqa: S608  # no input
    connection.close()
    database = Database(path)
    times = StartTimes(begin_t=5.0, only=DailyHours(from_minute=1200, until_minute=480))
    with database.transaction():
        StartTimesTable(database).insert(1, StartTimes())
        for id in (2, 3):
            StartTimesTable(database).insert(id, times)
    database.close()
    database = Database(path)
    table = StartTimesTable(database)
    assert table.of_unended() == {2: times}
    assert [table.of_job(id) for id in (1, 2, 3)] == [StartTimes(), times, times]
    database.close()


def test_a_queue_of_the_seventh_version_gets_retries(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.executescript(f"{FIRST_SCHEMA} {' '.join(UPGRADES[:6])} PRAGMA user_version = 7;")
    columns = "id, kind, name, state, reason, priority, run_id, folder, device_kind, num_devices, owner_uid, created_t"
    values = "1, 'command', 'x', 'queued', '', 0, '', '/c', 'cpu', 1, 0, 0.0"
    connection.executescript(f"INSERT INTO jobs ({columns}) VALUES ({values});")  # noqa: S608  # no input
    connection.close()
    database = Database(path)
    with database.transaction():
        RetryTable(database).insert(1, 2)
        RetryTable(database).count(1)
    database.close()
    database = Database(path)
    assert RetryTable(database).of_job(1) == Retries(2, 1)
    with database.transaction():
        RetryTable(database).reset(1)
    assert RetryTable(database).of_job(1) == Retries(2, 0)
    database.close()


@pytest.mark.parametrize(
    ("kind", "run_id", "before", "after"),
    [
        ("pretrain", "7-a_b", "/old/runs/7-a_b", "runs/7-a_b"),
        ("finetune", "1-x", "/runs/runs/1-x/finetunes/000007", "runs/1-x/finetunes/000007"),
        ("grid", "1-x", "/runs/1-x/finetunes/000007", "runs/1-x/finetunes/000007"),
        ("finetune", "/models/bert", "/old/finetunes/000007", "finetunes/000007"),
        ("command", "", "/old/commands/000007", "commands/000007"),
        ("pretrain", "7-x", "/elsewhere", "/elsewhere"),
    ],
)
def test_folders_of_the_eighth_version_are_stored_without_the_state_folder(
    path: Path, kind: str, run_id: str, before: str, after: str
) -> None:
    connection = sqlite3.connect(path)
    connection.executescript(f"{FIRST_SCHEMA} {''.join(UPGRADES[:7])} PRAGMA user_version = 8;")
    columns = "id, kind, name, state, reason, priority, run_id, folder, device_kind, num_devices, owner_uid, created_t"
    values = (7, kind, "x", "done", "", 0, run_id, before, "cpu", 1, 0, 0.0)
    connection.execute(f"INSERT INTO jobs ({columns}) VALUES ({', '.join('?' * 12)})", values)  # noqa: S608  # no input
    connection.commit()
    connection.close()
    database = Database(path)
    assert database.execute("SELECT folder FROM jobs").fetchone()[0] == after
    assert Queue(database, EventLog(database)).get(7).folder == str(path.parent / after)
    database.close()


def test_a_queue_of_the_ninth_version_gets_milestones_of_budgets(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.executescript(f"{FIRST_SCHEMA} {''.join(UPGRADES[:8])} PRAGMA user_version = 9;")
    columns = "id, kind, name, state, reason, priority, run_id, folder, device_kind, num_devices, owner_uid, created_t"
    values = "1, 'pretrain', 'x', 'running', '', 0, '1-x', 'runs/1-x', 'cpu', 1, 0, 0.0"
    connection.executescript(f"INSERT INTO jobs ({columns}) VALUES ({values});")  # noqa: S608  # no input
    connection.close()
    database = Database(path)
    assert Queue(database, EventLog(database)).get(1).name == "x"
    with database.transaction():
        database.execute("INSERT INTO budget_milestones (job_id, share) VALUES (1, 0.5)")
    database.close()
    database = Database(path)
    assert database.execute("SELECT share FROM budget_milestones WHERE job_id = 1").fetchone()["share"] == 0.5
    database.close()


def test_a_queue_of_the_tenth_version_gets_places_and_groups(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.executescript(f"{FIRST_SCHEMA} {''.join(UPGRADES[:9])} PRAGMA user_version = 10;")
    columns = "id, kind, name, state, reason, priority, run_id, folder, device_kind, num_devices, owner_uid, created_t"
    for id in (1, 2):
        values = f"{id}, 'pretrain', 'x', 'queued', '', 0, '{id}-x', 'runs/{id}-x', 'cpu', 1, 0, 0.0"
        connection.execute(f"INSERT INTO jobs ({columns}) VALUES ({values})")  # noqa: S608  # no input
    connection.commit()
    connection.close()
    database = Database(path)
    queue = Queue(database, EventLog(database))
    assert [(job.id, job.place, job.group_name) for job in queue.waiting()] == [(1, None, ""), (2, None, "")]
    queue.update(2, place=0.5)
    database.close()
    database = Database(path)
    queue = Queue(database, EventLog(database))
    assert [job.id for job in queue.waiting()] == [2, 1] == [job.id for job in queue.most_relevant(limit=9)][::1]
    assert [queue.position(queue.get(id)) for id in (1, 2)] == [2, 1]
    database.close()


def test_a_queue_of_the_twelfth_version_gets_the_energy_of_jobs(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.executescript(f"{FIRST_SCHEMA} {''.join(UPGRADES[:11])} PRAGMA user_version = 12;")
    columns = "id, kind, name, state, reason, priority, run_id, folder, device_kind, num_devices, owner_uid, created_t"
    values = "1, 'pretrain', 'x', 'running', '', 0, '1-x', 'runs/1-x', 'gpu', 1, 0, 0.0"
    connection.executescript(f"INSERT INTO jobs ({columns}) VALUES ({values});")  # noqa: S608  # no input
    connection.close()
    row = EnergyRow(t=5.0, gpu_j=3.0, measured_s=2.0, boot_id="b", counters_j={"GPU-a": 9.0})
    database = Database(path)
    assert EnergyTable(database).of_job(1) is None
    with database.transaction():
        EnergyTable(database).put(1, row)
    database.close()
    database = Database(path)
    assert EnergyTable(database).of_job(1) == row
    database.close()


def test_a_queue_of_the_thirteenth_version_gets_lends(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.executescript(f"{FIRST_SCHEMA} {''.join(UPGRADES[:12])} PRAGMA user_version = 13;")
    columns = "id, kind, name, state, reason, priority, run_id, folder, device_kind, num_devices, owner_uid, created_t"
    values = "1, 'pretrain', 'x', 'running', '', 0, '1-x', 'runs/1-x', 'cpu', 1, 0, 0.0"
    connection.executescript(f"INSERT INTO jobs ({columns}) VALUES ({values});")  # noqa: S608  # no input
    connection.close()
    database = Database(path)
    with database.transaction():
        lend_id = LendTable(database).insert(
            run_job_id=1, reason="", is_hot=False, asked_by="ada", devices={"cpu": 2}, now=5.0
        )
        LendTable(database).add_job(lend_id, 1, expected_s=None)
    database.close()
    database = Database(path)
    (lend,) = LendTable(database).open()
    assert (lend.devices, lend.state, lend.holders) == ({"cpu": 2}, LendState.PAUSING, frozenset({1}))
    database.close()


def test_a_queue_of_the_fourteenth_version_gets_parts_of_memory(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.executescript(f"{FIRST_SCHEMA} {''.join(UPGRADES[:13])} PRAGMA user_version = 14;")
    columns = "id, kind, name, state, reason, priority, run_id, folder, device_kind, num_devices, owner_uid, created_t"
    values = "1, 'finetune', 'x', 'running', '', 0, '', 'finetunes/000001', 'gpu', 1, 0, 0.0"
    connection.executescript(f"INSERT INTO jobs ({columns}) VALUES ({values});")  # noqa: S608  # no input
    connection.execute("INSERT INTO leases (job_id, device, slots, parts) VALUES (1, 'GPU-a', 1, 3)")
    connection.commit()
    connection.close()
    database = Database(path)
    queue = Queue(database, EventLog(database))
    assert queue.get(1).memory_bytes is None
    assert queue.leases() == Leases((Lease(1, "GPU-a", 1, parts=3),))
    with database.transaction():
        queue.release(1)
        queue.lease(1, {"GPU-a": 1}, memory_bytes=5, of_bytes=20)
    assert queue.leases().free_share("GPU-a") == Fraction(3, 4)
    database.close()


def test_what_was_acknowledged_survives_kill_9(path: Path) -> None:
    for _ in range(3):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, env=with_tests_on_path(), text=True
        )
        assert writer.stdout is not None
        acknowledged = [int(writer.stdout.readline()) for _ in range(20)]
        writer.kill()
        acknowledged += [int(line) for line in writer.stdout.read().split("\n")[:-1]]
        writer.wait(PATIENCE_S)
        database = Database(path)
        kept = {row["id"] for row in database.execute("SELECT id FROM events")}
        assert set(acknowledged) <= kept
        database.close()


def test_a_file_that_is_no_database_is_refused_and_left_alone(path: Path) -> None:
    path.write_bytes(b"this is a letter, not a database\n" * 40)
    before = path.read_bytes()
    with pytest.raises(DaemonError, match="the queue is damaged.*left as it is"):
        Database(path)
    assert path.read_bytes() == before


def test_a_damaged_page_is_noticed_and_left_alone(path: Path) -> None:
    database = Database(path)
    with database.transaction():
        for number in range(500):
            database.execute(
                "INSERT INTO events (t, type, text, data) VALUES (0.0, 'x', ?, '{}')", (f"{number} " + "x" * 200,)
            )
    database.close()
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 4096] = b"\xff" * 4096
    path.write_bytes(content)
    with pytest.raises(DaemonError, match="the queue is damaged"):
        Database(path)
    assert path.read_bytes() == content


@pytest.mark.parametrize("is_replaced", [False, True])
def test_a_file_that_is_removed_under_the_daemon_takes_no_change_until_it_is_back(
    path: Path, is_replaced: bool
) -> None:
    database = Database(path)
    events = EventLog(database)

    def append() -> None:
        with database.transaction():
            events.append("alert", "x", now=1.0, job_id=None, run_id=None, data={})

    append()
    aside = path.rename(path.with_name("aside"))
    if is_replaced:
        path.write_bytes(aside.read_bytes())
    with pytest.raises(StorageError, match="the queue was removed or replaced"):
        append()
    assert events.last_id() == 1
    aside.replace(path)
    append()
    database.close()
    again = Database(path)
    assert EventLog(again).last_id() == 2
    again.close()


def test_a_newer_schema_is_refused_and_left_alone(path: Path) -> None:
    Database(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    connection.close()
    with pytest.raises(DaemonError, match="written by a newer bertd"):
        Database(path)


def test_an_upgrade_keeps_the_file_as_the_version_before_can_read_it(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.executescript(FIRST_SCHEMA + "PRAGMA user_version = 1;")
        connection.execute("INSERT INTO events (t, type, text, data) VALUES (0.0, 'x', 'old', '{}')")
    connection.close()
    Database(path).close()
    copy = path.with_name("queue-schema-1.db")
    with sqlite3.connect(copy) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)
        assert connection.execute("SELECT text FROM events").fetchone() == ("old",)
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    connection.close()
    assert "sweeps" not in tables
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600


def test_nobody_but_the_owner_reads_the_file_its_log_and_its_copies(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wal = path.with_name(f"{path.name}-wal")
    for file in (path, wal):
        file.touch(mode=0o640)
    database = Database(path)
    with database.transaction():
        database.execute("INSERT INTO events (t, type, text, data) VALUES (0.0, 'x', 'new', '{}')")
    modes = {path: 0o600, wal: 0o600}
    assert {file: stat.S_IMODE(file.stat().st_mode) for file in modes} == modes
    seen: list[int] = []
    read_bytes = Path.read_bytes

    def look(file: Path) -> bytes:
        seen.append(stat.S_IMODE(file.stat().st_mode))
        return read_bytes(file)

    monkeypatch.setattr(Path, "read_bytes", look)
    assert database.copy().startswith(b"SQLite format 3")
    assert seen == [0o600]
    database.close()


def test_an_upgrade_without_its_copy_does_not_happen(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with sqlite3.connect(path) as connection:
        connection.executescript(FIRST_SCHEMA + "PRAGMA user_version = 1;")
    connection.close()

    def refuse(source: Path, target: Path) -> Path:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(StorageError, match="cannot prepare the queue: .*No space left"):
        Database(path)
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)
    connection.close()


def test_a_folder_that_is_not_there_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot open the queue"):
        Database(tmp_path / "absent" / "queue.db")


def test_an_error_in_a_transaction_undoes_all_of_it(path: Path) -> None:
    database = Database(path)
    commits = []
    database.after_commit = lambda: commits.append(1)
    with pytest.raises(ZeroDivisionError), database.transaction():
        database.execute("INSERT INTO events (t, type, text, data) VALUES (0.0, 'x', 'x', '{}')")
        raise ZeroDivisionError
    assert database.execute("SELECT count(*) FROM events").fetchone()[0] == 0
    assert commits == []


def test_a_nested_transaction_commits_with_the_outermost(path: Path) -> None:
    database = Database(path)
    commits = []
    database.after_commit = lambda: commits.append(1)
    with database.transaction():
        with database.transaction():
            database.execute("INSERT INTO events (t, type, text, data) VALUES (0.0, 'x', 'x', '{}')")
        assert commits == []
    assert commits == [1]


def test_the_wal_stays_small_over_many_events_and_no_reader_can_hold_it(path: Path) -> None:
    database = Database(path)
    wal = path.with_name("queue.db-wal")
    largest = 0
    reader = sqlite3.connect(path, timeout=0.0, isolation_level=None)
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        # If this reader were let in, nothing below would be checkpointed, and the WAL would grow by all of it.
        reader.execute("BEGIN").execute("SELECT count(*) FROM events").fetchone()
    reader.rollback()
    for _ in range(40):
        with database.transaction():
            database.execute("INSERT INTO events (t, type, text, data) VALUES (0.0, 'x', 'x', ?)", ("x" * (1 << 20),))
        largest = max(largest, wal.stat().st_size)
    assert 1 << 20 < largest < 16 << 20
    database.close()
    assert not wal.exists() or wal.stat().st_size == 0
    assert reader.execute("SELECT count(*) FROM events").fetchone()[0] == 40
    reader.execute("BEGIN IMMEDIATE")
    with pytest.raises(StorageError, match="database is locked; end the program that has it open"):
        Database(path, lock_timeout_s=0.0)
    reader.close()


def test_a_full_disk_is_a_storage_error_and_changes_nothing(path: Path) -> None:
    database = Database(path)
    database.execute(f"PRAGMA max_page_count = {database.execute('PRAGMA page_count').fetchone()[0]}")
    with pytest.raises(StorageError, match="free space"), database.transaction():
        for _ in range(100):
            database.execute("INSERT INTO events (t, type, text, data) VALUES (0.0, 'x', ?, '{}')", ("x" * 4000,))
    assert database.execute("SELECT count(*) FROM events").fetchone()[0] == 0


def test_a_queue_of_the_fifteenth_version_gets_the_software_of_jobs(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.executescript(f"{FIRST_SCHEMA} {''.join(UPGRADES[:14])} PRAGMA user_version = 15;")
    columns = "id, kind, name, state, reason, priority, run_id, folder, device_kind, num_devices, owner_uid, created_t"
    values = "1, 'pretrain', 'x', 'queued', '', 0, '1-x', 'runs/1-x', 'cpu', 1, 0, 0.0"
    connection.executescript(f"INSERT INTO jobs ({columns}) VALUES ({values});")  # noqa: S608  # no input
    connection.close()
    software = Software(bertd="1", source_sha256="", python="3", packages={}, variables={})
    database = Database(path)
    table = SoftwareTable(database)
    assert table.of_job(1) is None
    with database.transaction():
        table.put(1, software)
        table.put(1, software.model_copy(update={"bertd": "2"}))
    found = table.of_job(1)
    assert found is not None
    assert found.bertd == "2"
    database.close()


def test_a_queue_of_the_sixteenth_version_gets_the_groups_of_sweeps(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.executescript(f"{FIRST_SCHEMA} {''.join(UPGRADES[:15])} PRAGMA user_version = 16;")
    spec = SweepSpec(name="s", end_s=1.0, rungs=[], fixed={}, grid={"optimizer.peak_lr": [1e-3]})
    columns = "name, state, reason, spec, recipe_toml, recipe_name, priority, owner_uid, created_t"
    values = ("s", "running", "", spec.model_dump_json(), "", "r", 0, 0, 0.0)
    connection.execute(f"INSERT INTO sweeps ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", values)  # noqa: S608
    connection.commit()
    connection.close()
    database = Database(path)
    table = SweepTable(database, EventLog(database))
    (sweep,) = table.running()
    assert (sweep.spec.name, sweep.group_name) == ("s", "")
    database.close()
