"""Keeps a job's log from filling the disk: when it is too long, only its end stays.

Its writers append, so the file can be cut under them; what they write in that very moment may be lost.
"""

from __future__ import annotations

import os
from pathlib import Path

MAX_LOG_BYTES = 64 << 20
KEPT_BYTES = 8 << 20


def cap_log(path: Path) -> None:
    """Cut the log to its last lines where it is longer than it may be."""
    if path.stat().st_size <= MAX_LOG_BYTES:
        return
    fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
    try:
        size = os.fstat(fd).st_size
        kept = os.pread(fd, KEPT_BYTES, size - KEPT_BYTES)
        os.ftruncate(fd, 0)
        note = f"runner: the log was longer than {MAX_LOG_BYTES >> 20} MiB; what was before is gone\n"
        os.write(fd, note.encode() + kept.partition(b"\n")[2])
    finally:
        os.close(fd)
