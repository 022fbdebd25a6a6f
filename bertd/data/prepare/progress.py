"""Show progress while a corpus is read: a bar on a terminal, elsewhere a line every _LINE_EVERY_S seconds."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from bertd.program import drawing
from bertd.run.amounts.durations import format_duration
from bertd.run.amounts.quantities import format_count

_LINE_EVERY_S = 10.0


class ReadingProgress:
    """Shows documents and text per second, and the time left by the share of the files that is read."""

    def __init__(self, *, bytes_total: int, bar: Progress | None) -> None:
        """Start the clock.

        Args:
            bytes_total: size of all files on disk; 0 where it is not known, as on the hub.
        """
        self._bytes_total = bytes_total
        self._bar = bar
        self._begin_s = time.monotonic()
        self._last_shown_s = self._begin_s
        self._documents = 0
        self._task = None if bar is None else bar.add_task("reading", total=bytes_total or None, state="")

    def update(self, *, documents: int, bytes_read: int, text_bytes: int, bytes_before: int = 0) -> None:
        """Show the progress.

        Args:
            documents: read since the last call.
            bytes_read: of the files on disk, earlier attempts included.
            text_bytes: of text, read in this attempt.
            bytes_before: part of `bytes_read` that an earlier attempt read.
        """
        self._documents += documents
        now_s = time.monotonic()
        elapsed_s = max(1e-3, now_s - self._begin_s)
        line = self._format_line(elapsed_s, bytes_read=bytes_read, text_bytes=text_bytes, bytes_before=bytes_before)
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=bytes_read, state=line)
        elif now_s - self._last_shown_s >= _LINE_EVERY_S:
            self._last_shown_s = now_s
            print(line, file=sys.stderr)

    def _format_line(self, elapsed_s: float, *, bytes_read: int, text_bytes: int, bytes_before: int) -> str:
        rate = f"{self._documents / elapsed_s:,.0f} documents/s  {text_bytes / elapsed_s / 1e6:.1f} MB/s"
        if not self._bytes_total:
            return f"{format_count(self._documents, 'document')}  {rate}"
        share = f"{bytes_read / self._bytes_total:4.0%}  {rate}"
        if bytes_read <= bytes_before:
            return share
        left_s = elapsed_s * (self._bytes_total - bytes_read) / (bytes_read - bytes_before)
        return f"{share}  {format_duration(left_s)} left"


@contextmanager
def reading_progress(*, bytes_total: int) -> Iterator[ReadingProgress]:
    """Progress on standard error while the block runs."""
    console = Console(stderr=True)
    if not console.is_terminal or console.is_dumb_terminal:
        yield ReadingProgress(bytes_total=bytes_total, bar=None)
        return
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=24), TextColumn("{task.fields[state]}"))
    with drawing(sys.stderr), Progress(*columns, console=console, transient=True) as bar:
        yield ReadingProgress(bytes_total=bytes_total, bar=bar)
