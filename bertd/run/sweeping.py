"""What was left half written or half deleted is swept; what a living process is still writing is not.

A folder that takes long to fill is held by its writer with flock, which the kernel lets go of when the writer dies.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bertd.run.paths import TEMPORARY_PREFIX, TRASH_PREFIX


@contextmanager
def temporary_folder(folder: Path) -> Iterator[Path]:
    """A new folder beside `folder`, to be renamed to it when it is whole; swept whenever its writer is dead.

    Raises:
        OSError: the disk refused.
    """
    temporary = folder.with_name(f"{TEMPORARY_PREFIX}{folder.name}-{os.getpid()}")
    sweep_temporaries(folder.parent, prefixes=(f"{TEMPORARY_PREFIX}{folder.name}-",))
    fd = _create_and_lock(temporary)
    try:
        yield temporary
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    finally:
        os.close(fd)


def sweep_temporaries(place: Path, *, prefixes: tuple[str, ...] = (TEMPORARY_PREFIX, TRASH_PREFIX)) -> None:
    """Delete what starts so and nobody holds; no folder, nothing to sweep."""
    if not place.is_dir():
        return
    for entry in list(place.iterdir()):
        if not entry.name.startswith(prefixes):
            continue
        if entry.is_dir() and not entry.is_symlink():
            _delete_unless_locked(entry)
        else:
            entry.unlink(missing_ok=True)


def _create_and_lock(folder: Path) -> int:
    while True:
        folder.mkdir(exist_ok=True)
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        fcntl.flock(fd, fcntl.LOCK_SH)
        if folder.is_dir() and os.path.samestat(os.fstat(fd), folder.stat()):
            return fd
        # Swept between the two calls.
        os.close(fd)


def _delete_unless_locked(folder: Path) -> None:
    try:
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
    except BlockingIOError:
        pass
    finally:
        os.close(fd)
