"""Open and read a job's files whatever is in their place: without waiting for a FIFO, following a link to another file,
or reading without end.

A job's programs run as the daemon's user and may put anything there. Opening a FIFO would hold the whole daemon.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

MAX_BYTES = 16 << 20
"""Many times what the largest of a run's small files has."""
_CHUNK_BYTES = 1 << 20


def open_regular(path: Path, flags: int = os.O_RDONLY, *, follow_link: bool = False) -> int:
    """A descriptor of a regular file, which the caller closes; one that is made has mode 0640.

    Raises:
        OSError: it cannot be opened, is a link, or is something else than a file.
    """
    flags |= os.O_NONBLOCK | os.O_CLOEXEC | (0 if follow_link else os.O_NOFOLLOW)
    try:
        fd = os.open(path, flags, 0o640)
    except OSError as error:
        if error.errno == errno.ELOOP and path.is_symlink():
            raise OSError(errno.ELOOP, "it is a symbolic link; put the file itself there", str(path)) from error
        raise
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.EINVAL, "it is not a file; move it away", str(path))
    return fd


def read_bounded(path: Path, *, max_bytes: int = MAX_BYTES) -> bytes:
    """The first `max_bytes` of a file.

    Raises:
        OSError: it cannot be read, is a link, or is something else than a file.
    """
    fd = open_regular(path)
    content = bytearray()
    try:
        while chunk := os.read(fd, min(_CHUNK_BYTES, max_bytes - len(content))):
            content += chunk
    finally:
        os.close(fd)
    return bytes(content)
