"""At which time a job's log had how many bytes: `logs/job.times`, a line `Unix seconds, bytes` for each.

The runner notes it once a second while the log grows. A log that became shorter was cut at its begin, so what was noted
before does not count any more. When there are MAX_ROWS lines every other one is left out, and the interval doubles.
"""

from __future__ import annotations

import threading
import time
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bertd.errors import StorageError
from bertd.run.atomic_files import atomic_write
from bertd.run.bounded_read import read_bounded
from bertd.run.machine.child_processes import FORK_LOCK

MAX_ROWS = 4_096
INTERVAL_S = 1.0
_MAX_FILE_BYTES = 1 << 20
"""Several times MAX_ROWS lines."""


class LogTimes:
    """Notes the size of one log."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._rows = list(read_log_times(path))
        self._interval_s = INTERVAL_S

    def note(self, size_bytes: int, *, now: float) -> None:
        """Note the size if it has changed, and if the last line is old enough.

        Raises:
            StorageError: the disk refused a rewrite.
            OSError: the disk refused a line.
        """
        last_t, last_size = self._rows[-1] if self._rows else (0.0, -1)
        if size_bytes == last_size or 0 <= now - last_t < self._interval_s:
            return
        if size_bytes < last_size or now < last_t:
            self._rows = []
        self._rows.append((now, size_bytes))
        if len(self._rows) == 1 or len(self._rows) > MAX_ROWS:
            self._rewrite()
        else:
            with self._path.open("a") as file:
                file.write(_line(now, size_bytes))

    def _rewrite(self) -> None:
        if len(self._rows) > MAX_ROWS:
            self._rows = self._rows[::2]
            self._interval_s *= 2
        atomic_write(self._path, "".join(_line(*row) for row in self._rows))


def _line(t: float, size_bytes: int) -> str:
    return f"{t:.3f} {size_bytes}\n"


def read_log_times(path: Path) -> list[tuple[float, int]]:
    """Unix seconds and bytes, both rising; empty where nothing was noted. A line that cannot be read is left out."""
    try:
        lines = read_bounded(path, max_bytes=_MAX_FILE_BYTES).decode(errors="replace").splitlines()
    except OSError:
        return []
    rows: list[tuple[float, int]] = []
    for line in lines:
        t, _, size = line.partition(" ")
        with suppress(ValueError):
            row = float(t), int(size)
            if not rows or (row[0] >= rows[-1][0] and row[1] >= rows[-1][1]):
                rows.append(row)
    return rows


def find_begin(rows: list[tuple[float, int]], t: float) -> int:
    """The byte at or before which the first one was written that came at `t` or later."""
    number = bisect_right(rows, t, key=lambda row: row[0])
    return rows[number - 1][1] if number else 0


def find_end(rows: list[tuple[float, int]], t: float) -> int | None:
    """The byte before which all was written that came before `t`; None if the log was not seen at `t` or later."""
    number = bisect_left(rows, t, key=lambda row: row[0])
    return rows[number][1] if number < len(rows) else None


@contextmanager
def noting_log_times(path: Path, *, log: Path) -> Iterator[None]:
    """Note the log's size each INTERVAL_S, in a thread of its own, until the block ends.

    A disk that refuses costs the times alone: the job goes on.
    """
    is_over = threading.Event()
    times = LogTimes(path)

    def note() -> None:
        with FORK_LOCK, suppress(OSError, StorageError):
            times.note(log.stat().st_size, now=time.time())

    def note_until_over() -> None:
        while not is_over.wait(INTERVAL_S):
            note()

    note()
    thread = threading.Thread(target=note_until_over, name="log times", daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()
        note()
