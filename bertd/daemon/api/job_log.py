"""Read a page of a job's log without cutting a character in two."""

from __future__ import annotations

import os
from pathlib import Path

from bertd.api.models import LogView
from bertd.errors import QueueError, RunFolderError
from bertd.run.bounded_read import open_regular
from bertd.run.log_times import find_begin, find_end, read_log_times
from bertd.run.paths import JobPaths

MAX_PAGE_BYTES = 1 << 20
_CLOCK_SLACK_S = 1.0
"""How much more of a log is given than was asked for: its times are rounded."""


def find_log_bytes(paths: JobPaths, *, since_t: float | None, until_t: float | None) -> tuple[int, int | None]:
    """Where the part of a job's log begins and ends that was written in a time; None for its end.

    The times are those at which the runner looked, once a second at most: up to a second more is given at either side.

    Raises:
        QueueError: the log's times were not noted.
    """
    rows = read_log_times(paths.log_times)
    if not rows and paths.log.exists():
        raise QueueError(f"{paths.log}: an earlier bertd wrote it, without times; read it by offset")
    begin = 0 if since_t is None else max(find_begin(rows, since_t), _find_end_if_older(paths.log, since_t))
    return begin, None if until_t is None else find_end(rows, until_t)


def _find_end_if_older(path: Path, t: float) -> int:
    """The size of a log that was last written before `t`; else 0.

    The runner's last note may be older than the log's last lines, above all if the runner was killed.
    """
    try:
        found = path.stat()
    except FileNotFoundError:
        return 0
    return found.st_size if found.st_mtime < t - _CLOCK_SLACK_S else 0


def require_log(paths: JobPaths) -> None:
    """Refuse to show nothing as the log of a job that has one.

    Raises:
        RunFolderError: the log was removed after the job had begun to write it.
    """
    if paths.runner.exists() and not paths.log.exists():
        raise RunFolderError(
            f"{paths.log}: was removed; a running job writes a new one only after it is paused and resumed"
        )


def read_log_page(path: Path, *, offset: int, limit: int, end: int | None = None) -> LogView:
    """At most `limit` bytes from `offset` to `end`; a negative offset counts from the end.

    Returns:
        an empty page if there is no log yet.

    Raises:
        RunFolderError: the log cannot be read.
    """
    try:
        with os.fdopen(open_regular(path), "rb") as file:
            size = os.fstat(file.fileno()).st_size
            start = min(size, offset) if offset >= 0 else max(0, size + offset)
            file.seek(start)
            limit = limit if end is None else max(0, min(limit, end - start))
            content = file.read(min(limit, MAX_PAGE_BYTES))
    except FileNotFoundError:
        return LogView(text="", offset=0, next_offset=0, size=0)
    except OSError as error:
        raise RunFolderError(f"{path}: cannot read the log: {error.strerror}") from error
    content = _drop_partial_character(content)
    return LogView(
        text=content.decode("utf-8", errors="replace"), offset=start, next_offset=start + len(content), size=size
    )


def _drop_partial_character(content: bytes) -> bytes:
    """Drop an incomplete character at the end, which the next page has complete."""
    for back in range(1, min(4, len(content)) + 1):
        byte = content[-back]
        if byte < 0x80:
            return content
        if byte >= 0xC0:
            length = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            # If it is the whole page, return it as it is: otherwise its reader would wait for the rest forever.
            return content if length <= back or back == len(content) else content[:-back]
    return content
