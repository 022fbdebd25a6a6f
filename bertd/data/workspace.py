"""Where a data set is made before it is seen: a hidden folder beside it, kept when a prepare is killed.

DIR/.tmp-NAME/plan.json            what is being made; another plan starts over
DIR/.tmp-NAME/lock                 held while a process works here
DIR/.tmp-NAME/parts/part-*         parts that are done
DIR/.tmp-NAME/whole/               the data set while it is put together; then renamed to DIR/NAME
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bertd.errors import ShardError, StorageError
from bertd.run.durable import fsync_folder, write_whole
from bertd.run.paths import TEMPORARY_PREFIX


class Workspace:
    """The folder of one prepare, locked."""

    def __init__(self, *, root: Path, target: Path) -> None:
        self._root = root
        self._target = target
        self.parts = root / "parts"
        self.whole = root / "whole"

    def begin(self, plan: str) -> bool:
        """Make ready for a plan; True if parts of an earlier attempt at the same plan are there."""
        path = self._root / "plan.json"
        goes_on = path.exists() and path.read_text() == plan
        if not goes_on:
            shutil.rmtree(self.parts, ignore_errors=True)
        self.parts.mkdir(exist_ok=True)
        for torn in self.parts.glob(f"{TEMPORARY_PREFIX}*"):
            torn.unlink()
        shutil.rmtree(self.whole, ignore_errors=True)
        self.whole.mkdir()
        write_whole(path, plan)
        return goes_on and any(self.parts.iterdir())

    def publish(self) -> None:
        """Give the finished data set its name, and remove the rest."""
        for folder in (*(path for path in self.whole.rglob("*") if path.is_dir()), self.whole):
            fsync_folder(folder)
        if self._target.exists():
            # An old data set steps aside first: a rename cannot replace a folder that is not empty. A job that reads
            # it keeps its open files.
            old = self._root / "replaced"
            shutil.rmtree(old, ignore_errors=True)
            self._target.rename(old)
        self.whole.rename(self._target)
        fsync_folder(self._target.parent)
        shutil.rmtree(self._root)


@contextmanager
def open_workspace(target: Path, *, replace: bool) -> Iterator[Workspace]:
    """The workspace for a data set, for this process alone.

    Raises:
        ShardError: the data set exists, or another process is making it.
        StorageError: the folder cannot be made or written.
    """
    root = target.with_name(f"{TEMPORARY_PREFIX}{target.name}")
    try:
        if target.exists() and not replace:
            raise ShardError(f"{target}: exists; give another --out, or --replace to make it anew")
        root.mkdir(parents=True, exist_ok=True)
        lock = os.open(root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield Workspace(root=root, target=target)
        except BlockingIOError as error:
            raise ShardError(f"{target}: another process is making it; wait for it or give another --out") from error
        finally:
            os.close(lock)
    except OSError as error:
        place = error.filename or root
        raise StorageError(f"{place}: {error.strerror}; free space there or mend the permissions") from error
