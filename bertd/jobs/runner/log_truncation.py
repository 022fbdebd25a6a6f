"""Keep a job's log from filling the disk: when it is too long, only its end is kept.

Its writers append, so the file can be truncated while they write; a line written at that moment may be lost. The log is
reached as the runner's standard output, because it keeps growing even if somebody has deleted or moved the file.
"""

from __future__ import annotations

import os
from pathlib import Path

from bertd.run.log import log_line

MAX_LOG_BYTES = 64 << 20
KEPT_BYTES = 8 << 20
STANDARD_OUTPUT = Path("/proc/self/fd/1")


def truncate_log(path: Path = STANDARD_OUTPUT) -> None:
    """Truncate the log to its last lines if it is longer than MAX_LOG_BYTES; a failure is only logged."""
    try:
        if path.stat().st_size > MAX_LOG_BYTES:
            _truncate(path)
    except OSError as error:
        log_line(f"runner: the log cannot be truncated: {error.strerror}")


def _truncate(path: Path) -> None:
    fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
    try:
        size = os.fstat(fd).st_size
        kept = os.pread(fd, KEPT_BYTES, size - KEPT_BYTES)
        os.ftruncate(fd, 0)
        note = f"runner: the log was longer than {MAX_LOG_BYTES >> 20} MiB; the lines before this one were deleted\n"
        os.write(fd, note.encode() + kept.partition(b"\n")[2])
    finally:
        os.close(fd)
