"""Read what can be read of a queue that is damaged, or of a newer bertd, into a new one; the old file is not written.

A copy of the file and its write-ahead log is opened, so that SQLite repairs nothing in the original. Each table is read
from its first row on and from its last row back, until the damage: what lies between is lost. So are jobs and lends of
a kind or in a state that this version does not know.
"""

from __future__ import annotations

import json
import logging
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from bertd.errors import DaemonError
from bertd.jobs.store.database import Database
from bertd.records import BorrowerState, JobKind, JobState, LendState

logger = logging.getLogger(__name__)


def salvage(path: Path, *, folder: Path) -> Database | None:
    """A new database in `folder` with what can be read of the file; None if that is not a single job."""
    database = Database(folder / "salvaged.db")
    try:
        with closing(sqlite3.connect(_copy(path, folder=folder), isolation_level=None)) as source:
            source.row_factory = sqlite3.Row
            source.text_factory = lambda content: content.decode(errors="replace")
            with database.transaction():
                for table in _tables(database):
                    _copy_rows(table, source, database)
    except (OSError, sqlite3.Error, DaemonError) as error:
        logger.warning("%s: cannot be salvaged: %s", path, error)
    if database.execute("SELECT count(*) FROM jobs").fetchone()[0]:
        return database
    database.close()
    return None


def _copy(path: Path, *, folder: Path) -> Path:
    for suffix in ("", "-wal"):
        file = path.with_name(path.name + suffix)
        if file.exists():
            shutil.copyfile(file, folder / file.name)
    return folder / path.name


def _tables(database: Database) -> list[str]:
    """Jobs first, since rows of other tables refer to them, and sweeps before their settings."""
    rows = database.execute("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
    return sorted((str(row["name"]) for row in rows.fetchall()), key=lambda name: (name != "jobs", "_" in name, name))


def _copy_rows(table: str, source: sqlite3.Connection, database: Database) -> None:
    columns = database.execute("SELECT name, 0 FROM pragma_table_info(?)", (table,)).fetchall()
    known = {str(column["name"]) for column in columns}
    for direction in ("ASC", "DESC"):
        for row in _rows_until_damage(table, source, direction=direction):
            if not _is_known(table, row):
                logger.warning(
                    "%s: a row is left out, of a kind or in a state that is not known: %s", table, tuple(row)[:5]
                )
                continue
            names = sorted(known.intersection(row.keys()))
            places = ", ".join("?" * len(names))
            # Our own names. A row that breaks a constraint, such as one whose job is lost, is left out.
            insert = f"INSERT OR IGNORE INTO {table} ({', '.join(names)}) VALUES ({places})"  # noqa: S608
            try:
                database.execute(insert, tuple(row[name] for name in names))
            except sqlite3.IntegrityError as error:
                logger.warning("%s: a row is left out: %s", table, error)


def _is_known(table: str, row: sqlite3.Row) -> bool:
    """Whether this version knows what the row says; one that it does not would keep the daemon from showing others."""
    match table:
        case "jobs":
            return row["kind"] in set(JobKind) and row["state"] in set(JobState)
        case "lends":
            return row["state"] in set(LendState) and _is_device_slots(row["devices"])
        case "lend_jobs":
            return row["state"] in set(BorrowerState)
        case _:
            return True


def _is_device_slots(text: object) -> bool:
    try:
        slots = json.loads(str(text))
    except ValueError:
        return False
    return isinstance(slots, dict) and all(isinstance(number, int) for number in slots.values())


def _rows_until_damage(table: str, source: sqlite3.Connection, *, direction: str) -> Iterator[sqlite3.Row]:
    try:
        yield from source.execute(f"SELECT * FROM {table} ORDER BY rowid {direction}")  # noqa: S608  # Our own name.
    except sqlite3.Error as error:
        logger.warning("%s: not all rows can be read: %s", table, error)
