"""Write files so that a crash or a power cut leaves the old content or the new, never half.

Write, fsync the file, rename, fsync the folder. This order was tested with power cuts at each system call on ext4 and
XFS: without the first fsync XFS loses the old copy too; without the last both lose the rename.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bertd.errors import StorageError
from bertd.run.paths import TEMPORARY_PREFIX, TRASH_PREFIX

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


def fsync_folder(folder: Path) -> None:
    """Make renames and new names in `folder` survive a power cut."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


PRIVATE_MODE = 0o640
"""Of what a daemon keeps: its user and its group."""
SHARED_MODE = 0o666
"""Of what other users and programs are meant to read, as data sets, vocabularies and reports; the umask decides."""

_MAX_HOST_CHARACTERS = 32


def atomic_write(path: Path, content: bytes | str, *, mode: int = PRIVATE_MODE) -> None:
    """Replace `path`, or leave it as it was.

    Args:
        mode: of the new file, less the umask.

    Raises:
        StorageError: the disk refused; `path` is unchanged.
    """
    data = content.encode() if isinstance(content, str) else content
    # Both ids, because threads of one daemon may write the same file; the machine's name, because another may, too.
    writer = f"{os.uname().nodename[:_MAX_HOST_CHARACTERS]}-{os.getpid()}-{threading.get_native_id()}"
    temporary = path.with_name(f"{TEMPORARY_PREFIX}{path.name}-{writer}")
    try:
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
        try:
            with open(fd, "wb", closefd=False) as file:
                file.write(data)
            os.fsync(fd)
        finally:
            os.close(fd)
        temporary.rename(path)
        fsync_folder(path.parent)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        raise StorageError(f"{path}: cannot write: {error.strerror}; free space or check the permissions") from error


def set_mode(path: Path, mode: int) -> None:
    """Give a file the mode, less the umask, that its library did not.

    Raises:
        OSError: it is not this user's.
    """
    # From the kernel: os.umask can only be read by changing it, also for the other threads.
    lines = Path("/proc/self/status").read_text().splitlines()
    umask = next(int(line.split()[1], 8) for line in lines if line.startswith("Umask:"))
    path.chmod(mode & ~umask)


@contextmanager
def temporary_folder(folder: Path) -> Iterator[Path]:
    """Make a folder next to `folder`, for the caller to rename to it when complete; swept if its writer is dead.

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
    """Delete entries with these prefixes, except folders that a live process has locked; `place` may be absent."""
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
        # Another process swept it between mkdir and flock.
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


def exchange_folders(new: Path, old: Path) -> bool:
    """Exchange two folders atomically, so that a kill at any point leaves one or the other; False where not supported.

    Linux supports it since 3.15 on ext4, XFS, Btrfs and tmpfs; NFS does not.

    Raises:
        OSError: the disk refused.
    """
    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except AttributeError:
        return False
    if renameat2(_AT_FDCWD, os.fsencode(new), _AT_FDCWD, os.fsencode(old), _RENAME_EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):
        return False
    raise OSError(code, os.strerror(code), str(old))
