"""How a long reading of a corpus shows itself: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from bertd.run.durations import format_duration

_LINE_EVERY_S = 10.0


class ReadingProgress:
    """Shows documents and bytes per second and the time left."""

    def __init__(self, *, bytes_total: int, bar: Progress | None) -> None:
        self._bytes_total = max(1, bytes_total)
        self._bar = bar
        self._begin_s = time.monotonic()
        self._shown_s = self._begin_s
        self._documents = 0
        self._task = None if bar is None else bar.add_task("reading", total=self._bytes_total, rate="")

    def update(self, *, documents: int, bytes_read: int) -> None:
        """Show how far it is.

        Args:
            documents: met since the last call.
            bytes_read: since the beginning.
        """
        self._documents += documents
        now_s = time.monotonic()
        elapsed_s = max(1e-3, now_s - self._begin_s)
        rate = f"{self._documents / elapsed_s:,.0f} documents/s  {bytes_read / elapsed_s / 1e6:.1f} MB/s"
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=bytes_read, rate=rate)
        elif now_s - self._shown_s >= _LINE_EVERY_S:
            self._shown_s = now_s
            left_s = elapsed_s * (self._bytes_total - bytes_read) / max(1, bytes_read)
            share = 100 * bytes_read / self._bytes_total
            print(f"{share:3.0f} %  {rate}  {format_duration(left_s)} left", file=sys.stderr)


@contextmanager
def reading_progress(*, bytes_total: int) -> Iterator[ReadingProgress]:
    """A progress on standard error for the time of the block."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield ReadingProgress(bytes_total=bytes_total, bar=None)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:3.0f} %  {task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        yield ReadingProgress(bytes_total=bytes_total, bar=bar)
