"""The staging folder of a data set: hidden, beside its target, kept when a prepare is killed.

DIR/.tmp-NAME/plan.json            what is being made; another plan starts over
DIR/.tmp-NAME/lock                 held while a process works here; shared by the tasks of an array
DIR/.tmp-NAME/parts/part-*         parts that are done
DIR/.tmp-NAME/whole/               the data set while it is put together; then renamed to DIR/NAME
DIR/.tmp-NAME/replaced/            the old data set, between the two renames that replace it
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bertd.errors import OutputExistsError, ShardError, StorageError
from bertd.run.atomic_files import atomic_write, exchange_folders, fsync_folder
from bertd.run.dataset_manifest import MANIFEST_FILE
from bertd.run.paths import TEMPORARY_PREFIX

_REPLACED = "replaced"


class Workspace:
    """The folder of one prepare, locked."""

    def __init__(self, *, root: Path, target: Path) -> None:
        self._root = root
        self._target = target
        self.parts = root / "parts"
        self.whole = root / "whole"

    def begin(self, plan: str) -> bool:
        """Prepare the folders for a plan; True if parts of an earlier attempt at the same plan exist."""
        path = self._root / "plan.json"
        is_same_plan = path.exists() and path.read_text() == plan
        if not is_same_plan:
            shutil.rmtree(self.parts, ignore_errors=True)
        self.parts.mkdir(exist_ok=True)
        for temporary in self.parts.glob(f"{TEMPORARY_PREFIX}*"):
            temporary.unlink()
        shutil.rmtree(self.whole, ignore_errors=True)
        self.whole.mkdir()
        atomic_write(path, plan)
        return is_same_plan and any(self.parts.iterdir())

    def join(self, plan: str) -> None:
        """Prepare the folders beside others that work at the same plan, and make only parts.

        Raises:
            ShardError: an attempt at another plan is here.
        """
        path = self._root / "plan.json"
        self.parts.mkdir(exist_ok=True)
        if not path.exists():
            if any(self.parts.iterdir()):
                raise ShardError(f"{self.parts}: parts of an unknown plan; remove {self._root} and start again")
            atomic_write(path, plan)
        if path.read_text() != plan:
            raise ShardError(
                f"{self._root}: an attempt with other sources or options is here; remove it, or give another --out"
            )

    def publish(self) -> None:
        """Give the finished data set its name, and remove the rest."""
        for folder in (*(path for path in self.whole.rglob("*") if path.is_dir()), self.whole):
            fsync_folder(folder)
        # A job that reads the old data set keeps its open files.
        if not self._target.exists():
            self.whole.rename(self._target)
        elif not exchange_folders(self.whole, self._target):
            # A plain rename cannot replace a folder that is not empty.
            shutil.rmtree(self._root / _REPLACED, ignore_errors=True)
            self._target.rename(self._root / _REPLACED)
            self.whole.rename(self._target)
        fsync_folder(self._target.parent)
        shutil.rmtree(self._root)


@contextmanager
def open_workspace(target: Path, *, replace: bool, is_shared: bool = False) -> Iterator[Workspace]:
    """The workspace for a data set, for this process alone or together with other tasks of an array.

    Raises:
        OutputExistsError: the data set or something else exists there.
        ShardError: another process is making it.
        StorageError: the folder cannot be made or written.
    """
    root = target.with_name(f"{TEMPORARY_PREFIX}{target.name}")
    try:
        if target.exists() and not (target / MANIFEST_FILE).is_file():
            raise OutputExistsError(f"{target}: exists and is not a data set; give another --out")
        if target.exists() and not replace:
            raise OutputExistsError(f"{target}: exists; give another --out, or --replace to make it again")
        root.mkdir(parents=True, exist_ok=True)
        lock = os.open(root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            fcntl.flock(lock, (fcntl.LOCK_SH if is_shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
            if not is_shared and (root / _REPLACED).exists() and not target.exists():
                # An earlier attempt was killed between its two renames.
                (root / _REPLACED).rename(target)
            yield Workspace(root=root, target=target)
        except BlockingIOError as error:
            raise ShardError(f"{target}: another process is making it; wait for it or give another --out") from error
        finally:
            os.close(lock)
    except OSError as error:
        place = error.filename or root
        raise StorageError(f"{place}: {error.strerror}; free space there or check the permissions") from error
