"""The daemon's SQLite file: open, check and create it; one process, one connection, one thread.

WAL with synchronous=FULL: a committed change survives kill -9 and a power cut. SQLite before 3.51.3 can corrupt a WAL
that two connections write, and a WAL grows without limit while another connection keeps reading; so the lock is
exclusive, and there is never a second connection. A damaged file, or one of a newer bertd, is refused and not changed.
"""

from __future__ import annotations

import errno
import logging
import os
import sqlite3
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bertd.errors import DaemonError, StorageError, UnreadableQueueError
from bertd.jobs.store.schema import FIRST_SCHEMA, SCHEMA_VERSION, UPGRADES
from bertd.run.atomic_files import fsync_folder
from bertd.run.paths import TEMPORARY_PREFIX

logger = logging.getLogger(__name__)

FILE_MODE = 0o600
"""The group of the state folder may read runs, but not the audit of all users, which only operators are shown."""
_NOT_THE_OWNERS = stat.S_IRWXG | stat.S_IRWXO
_MIN_FILE_BYTES = 512
"""SQLite treats a file smaller than its smallest page as empty, and would create a new queue in it."""


class Database:
    """The only connection to the file."""

    def __init__(self, path: Path, *, lock_timeout_s: float = 5.0) -> None:
        """Open and check the file; create it if it does not exist.

        Args:
            lock_timeout_s: how long to wait for another program that has locked the file.

        Raises:
            UnreadableQueueError: the file is damaged or of a newer bertd; it is not changed.
            DaemonError: it is a link, not a file, or cut short.
            StorageError: it cannot be opened, created or upgraded.
        """
        self.path = path
        self.after_commit: Callable[[], None] = lambda: None
        """Called once after each outermost commit."""
        self.num_rollbacks = 0
        """Transactions that were undone: what was read in one of them may never have been."""
        self._depth = 0
        _open_safely(path)
        try:
            self._connection = sqlite3.connect(path, isolation_level=None, timeout=lock_timeout_s)
        except sqlite3.Error as error:
            raise StorageError(
                f"{path}: cannot open the queue: {error}; check the permissions or free space"
            ) from error
        self._file = _identity(path)
        """Device and inode: what SQLite has open, whatever has that name later."""
        self._connection.row_factory = sqlite3.Row
        # A flipped bit may make a text invalid UTF-8; the other rows must stay readable.
        self._connection.text_factory = _decode_text
        try:
            self._check()
            self._prepare()
        except BaseException:
            self._connection.close()
            raise

    def _check(self) -> None:
        remedy = "it is left as it is; move it away to start with an empty queue, or restore a copy"
        try:
            # Before anything is read: then SQLite keeps the WAL index in memory, not in a shared file.
            self._connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            version = int(self._connection.execute("PRAGMA user_version").fetchone()[0])
            verdict = str(self._connection.execute("PRAGMA quick_check(1)").fetchone()[0])
        except sqlite3.OperationalError as error:
            remedy = "end the program that has it open" if "locked" in str(error) else "check the permissions"
            raise StorageError(f"{self.path}: cannot read the queue: {error}; {remedy}") from error
        except sqlite3.DatabaseError as error:
            raise UnreadableQueueError(f"{self.path}: the queue is damaged: {error}; {remedy}") from error
        except UnicodeDecodeError as error:
            # SQLite's own message quotes the name of a table, which is not valid UTF-8 any more.
            raise UnreadableQueueError(
                f"{self.path}: the queue is damaged: its schema is not text; {remedy}"
            ) from error
        if verdict != "ok":
            raise UnreadableQueueError(f"{self.path}: the queue is damaged: {verdict}; {remedy}")
        if version > SCHEMA_VERSION:
            raise UnreadableQueueError(
                f"{self.path}: written by a newer bertd (schema {version}, this one knows {SCHEMA_VERSION}); "
                "install that version again, or use another state folder"
            )

        if version and _columns(self._connection) != _schema_columns(version):
            # A flipped bit in the name of a table or a column: quick_check does not check names.
            raise UnreadableQueueError(f"{self.path}: the queue is damaged: it has other columns; {remedy}")

    def _prepare(self) -> None:
        try:
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = FULL")
            self._connection.execute("PRAGMA foreign_keys = ON")
            self._connection.execute("PRAGMA journal_size_limit = 16777216")
            version = int(self._connection.execute("PRAGMA user_version").fetchone()[0])
            if 0 < version < SCHEMA_VERSION:
                self._copy_before_upgrade(version)
            if version < SCHEMA_VERSION:
                script = FIRST_SCHEMA + "".join(UPGRADES) if version == 0 else "".join(UPGRADES[version - 1 :])
                self._connection.executescript(f"BEGIN;{script}PRAGMA user_version = {SCHEMA_VERSION};COMMIT;")
        except (sqlite3.Error, OSError) as error:
            remedy = "end the program that has it open" if "locked" in str(error) else "free space on that disk"
            raise StorageError(f"{self.path}: cannot prepare the queue: {error}; {remedy}") from error

    def _copy_before_upgrade(self, version: int) -> None:
        """Keep the file as an earlier bertd can read it, next to it."""
        copy = self.path.with_name(f"{self.path.stem}-schema-{version}{self.path.suffix}")
        temporary = copy.with_name(f"{TEMPORARY_PREFIX}{copy.name}")
        temporary.unlink(missing_ok=True)
        # SQLite writes into an empty file and leaves it its mode.
        temporary.touch(mode=FILE_MODE)
        self._connection.execute("VACUUM INTO ?", (str(temporary),))
        temporary.replace(copy)
        fsync_folder(copy.parent)
        logger.info("%s: upgraded from schema %d to %d; %s is the one before", self.path, version, SCHEMA_VERSION, copy)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit all changes or none; may be nested, and the outermost commits.

        Raises:
            StorageError: the disk refused the commit, or the file was removed; nothing was changed.
        """
        if self._depth:
            yield
            return
        self._require_file()
        try:
            self._connection.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            raise self._write_error(error) from error
        self._depth = 1
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException as error:
            self.num_rollbacks += 1
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            if isinstance(error, sqlite3.OperationalError):
                raise self._write_error(error) from error
            raise
        finally:
            self._depth = 0
        self.after_commit()

    def _require_file(self) -> None:
        """Refuse a change that would go into a file without a name: acknowledged, and gone at the next start.

        Raises:
            StorageError: the file was removed, or another is in its place.
        """
        try:
            is_same = _identity(self.path) == self._file
        except OSError:
            is_same = False
        if not is_same:
            raise StorageError(
                f"{self.path}: the queue was removed or replaced while the daemon runs, so nothing can be changed; put "
                "the file back, or a copy of it and restart the daemon"
            )

    def _write_error(self, error: sqlite3.Error) -> StorageError:
        return StorageError(f"{self.path}: the queue cannot be written: {error}; free space on that disk")

    def execute(self, statement: str, parameters: tuple[object, ...] = ()) -> sqlite3.Cursor:
        """Execute one statement with bound parameters.

        Raises:
            DaemonError: the file was damaged while the daemon ran.
            DatabaseError: OperationalError or IntegrityError: the disk refused, or a constraint is violated; see
                `transaction`.
        """
        with _reporting_damage():
            return self._connection.cursor(_Cursor).execute(statement, parameters)

    def copy(self) -> bytes:
        """The content of a database file that has everything that is committed.

        Raises:
            StorageError: the disk refused.
        """
        copy = self.path.with_name(f"{TEMPORARY_PREFIX}{self.path.name}-copy")
        try:
            copy.unlink(missing_ok=True)
            copy.touch(mode=FILE_MODE)
            self._connection.execute("VACUUM INTO ?", (str(copy),))
            return copy.read_bytes()
        except (OSError, sqlite3.Error) as error:
            raise StorageError(f"{copy}: cannot copy the queue: {error}; free space on that disk") from error
        finally:
            copy.unlink(missing_ok=True)

    def close(self) -> None:
        """Checkpoint the WAL into the file and close; if the disk refuses, the next start does it."""
        try:
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error as error:
            logger.warning("%s: the queue was closed without a checkpoint of its WAL: %s", self.path, error)
        finally:
            self._connection.close()


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


def _open_safely(path: Path) -> None:
    """Create the file if it is not there, follow no link, and take the rights to it from all but its owner.

    Raises:
        DaemonError: a link, not a file, or cut short.
        StorageError: it cannot be opened.
    """
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, FILE_MODE)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise DaemonError(f"{path}: is a symbolic link; put the queue itself there") from error
        raise StorageError(
            f"{path}: cannot open the queue: {error.strerror}; check the permissions or free space"
        ) from error
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise DaemonError(f"{path}: is not a file; move it away")
        if 0 < status.st_size < _MIN_FILE_BYTES:
            remedy = "it is left as it is; move it away to start with an empty queue, or restore a copy"
            raise DaemonError(f"{path}: the queue is damaged: it was cut short; {remedy}")
        if status.st_uid == os.geteuid():
            # SQLite makes the WAL with the mode of the file; after a crash there may be one of before.
            for file in (path, path.with_name(f"{path.name}-wal")):
                if file.is_file() and not file.is_symlink() and file.stat().st_mode & _NOT_THE_OWNERS:
                    file.chmod(stat.S_IMODE(file.stat().st_mode) & ~_NOT_THE_OWNERS)
    finally:
        # Before SQLite locks the file: closing a descriptor of it would drop those locks.
        os.close(fd)


@contextmanager
def _reporting_damage() -> Iterator[None]:
    try:
        yield
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError | sqlite3.IntegrityError):
            raise
        remedy = "restore a copy, or move it away to start with an empty queue"
        raise DaemonError(f"queue.db: the queue is damaged: {error}; {remedy}") from error


class _Cursor(sqlite3.Cursor):
    """SQLite reads a row when it is fetched, so that damage may show only then."""

    def fetchone(self) -> Any:
        with _reporting_damage():
            return super().fetchone()

    def fetchall(self) -> list[Any]:
        with _reporting_damage():
            return super().fetchall()

    def __next__(self) -> Any:
        with _reporting_damage():
            return super().__next__()


def _columns(connection: sqlite3.Connection) -> set[tuple[str, str]]:
    tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()]
    return {
        (table, row[1])
        for table in tables
        if not table.startswith("sqlite_")
        for row in connection.execute("SELECT 0, name FROM pragma_table_info(?)", (table,)).fetchall()
    }


def _schema_columns(version: int) -> set[tuple[str, str]]:
    connection = sqlite3.connect(":memory:")
    try:
        connection.executescript(FIRST_SCHEMA + "".join(UPGRADES[: version - 1]))
        return _columns(connection)
    finally:
        connection.close()


def _decode_text(content: bytes) -> str:
    return content.decode(errors="replace")
