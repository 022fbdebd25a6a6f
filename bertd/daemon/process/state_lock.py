"""One daemon per state folder: a lock that the kernel releases when its holder dies, on a file that names it."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

from bertd.errors import DaemonBusyError, StorageError


class StateLock:
    """Held until `release` or the end of the process; never inherited by a child."""

    def __init__(self, path: Path, *, now: float) -> None:
        """Take the lock.

        Raises:
            DaemonBusyError: another daemon has it.
            StorageError: the file cannot be written.
        """
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o640)
        except OSError as error:
            raise StorageError(f"{path}: cannot open: {error.strerror}; check the permissions") from error
        try:
            fcntl.lockf(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(self._fd, 200, 0).decode(errors="replace").strip() or "an unknown process"
            os.close(self._fd)
            raise DaemonBusyError(
                f"{path.parent}: another daemon has this state folder: {holder}; "
                "use that one, end it (bertd shutdown), or choose another folder with --state-dir"
            ) from error
        since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now))
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, f"pid {os.getpid()} since {since}\n".encode(), 0)

    def release(self) -> None:
        """Let the next daemon take the lock."""
        os.ftruncate(self._fd, 0)
        os.close(self._fd)
