"""Keeps a job's log from filling the disk: when it is too long, only its end stays.

Its writers append, so the file can be cut under them; what they write in that very moment may be lost. The runner's
standard output is that log, also where somebody has deleted or moved the file: it grows all the same.
"""

from __future__ import annotations

import os
from pathlib import Path

from bertd.run.log import log_line

MAX_LOG_BYTES = 64 << 20
KEPT_BYTES = 8 << 20
STANDARD_OUTPUT = Path("/proc/self/fd/1")


def truncate_log(path: Path = STANDARD_OUTPUT) -> None:
    """Cut the log to its last lines where it is longer than it may be; one that cannot be cut ends no job."""
    try:
        if path.stat().st_size > MAX_LOG_BYTES:
            _truncate(path)
    except OSError as error:
        log_line(f"runner: the log cannot be cut: {error.strerror}")


def _truncate(path: Path) -> None:
    fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
    try:
        size = os.fstat(fd).st_size
        kept = os.pread(fd, KEPT_BYTES, size - KEPT_BYTES)
        os.ftruncate(fd, 0)
        note = f"runner: the log was longer than {MAX_LOG_BYTES >> 20} MiB; what was before is gone\n"
        os.write(fd, note.encode() + kept.partition(b"\n")[2])
    finally:
        os.close(fd)
