"""Writing so that a crash or a power cut leaves the old content or the new, never half.

The order was proven with power cuts at each system call on ext4 and XFS: write, fsync the file, rename, fsync the
folder. Leaving out the first fsync loses the old copy too on XFS; leaving out the last loses the rename on both.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from pathlib import Path

from bertd.errors import StorageError
from bertd.run.paths import TEMPORARY_PREFIX


def fsync_folder(folder: Path) -> None:
    """Make renames and new names in `folder` survive a power cut."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def atomic_write(path: Path, content: bytes | str) -> None:
    """Replace `path`, or leave it as it was.

    Raises:
        StorageError: the disk refused; `path` is unchanged.
    """
    data = content.encode() if isinstance(content, str) else content
    # Both numbers, because threads of one daemon may write the same file.
    temporary = path.with_name(f"{TEMPORARY_PREFIX}{path.name}-{os.getpid()}-{threading.get_native_id()}")
    try:
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o640)
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
        raise StorageError(f"{path}: cannot write: {error.strerror}; free space or mend the permissions") from error
