"""The daemon's log on standard error: one line per record, safe for the terminal that shows it, and bounded.

Anybody who may connect can cause lines, such as by requests that are not HTTP, so of the same message only so many are
written in a minute.
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from typing import TextIO

from bertd.daemon.process.journal_log import JournalHandler, is_journal
from bertd.terminal_text import terminal_line, terminal_text

_WINDOW_S = 60.0
_MAX_REPEATS = 30
"""Lines of the same message, with whatever values, in a window."""
_MAX_TRACEBACKS = 3
"""The same for messages with a traceback."""


class RepeatFilter(logging.Filter):
    """Leaves out what the log has often enough; the next window's first line says how many were left out."""

    def __init__(self) -> None:
        super().__init__()
        self._window_ends_t = 0.0
        self._num_seen = Counter[tuple[str, str]]()
        self._num_left_out = 0

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is written."""
        if record.created >= self._window_ends_t:
            self._begin_window(record)
        key = (record.name, str(record.msg)[:200])
        self._num_seen[key] += 1
        is_kept = self._num_seen[key] <= (_MAX_TRACEBACKS if record.exc_info else _MAX_REPEATS)
        self._num_left_out += not is_kept
        return is_kept

    def _begin_window(self, record: logging.LogRecord) -> None:
        self._window_ends_t = record.created + _WINDOW_S
        self._num_seen.clear()
        if self._num_left_out:
            record.msg = f"{record.msg} (before it {self._num_left_out} lines like earlier ones were left out)"
            self._num_left_out = 0


class SafeFormatter(logging.Formatter):
    """Escapes what a message may have from outside, such as a path; only a traceback has more than one line."""

    def format(self, record: logging.LogRecord) -> str:
        """Format the line of a record, and its traceback."""
        line = terminal_line(f"{record.levelname} {record.getMessage()}")
        if not record.exc_info:
            return line
        return f"{line}\n{terminal_text(self.formatException(record.exc_info))}"


def write_log_to(stream: TextIO) -> None:
    """Log to `stream` from here on; to systemd's journal itself if that is where the stream leads."""
    handler = JournalHandler(stream) if is_journal(stream, os.environ) else logging.StreamHandler(stream)
    handler.addFilter(RepeatFilter())
    handler.setFormatter(SafeFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
