"""The daemon's log on standard error: one line per record, safe for the terminal that shows it."""

from __future__ import annotations

import logging
from typing import TextIO

from bertd.terminal_text import terminal_line, terminal_text


class SafeFormatter(logging.Formatter):
    """Escapes what a message may have from outside, such as a path; only a traceback has more than one line."""

    def format(self, record: logging.LogRecord) -> str:
        """Format the line of a record, and its traceback."""
        line = terminal_line(f"{record.levelname} {record.getMessage()}")
        if not record.exc_info:
            return line
        return f"{line}\n{terminal_text(self.formatException(record.exc_info))}"


def write_log_to(stream: TextIO) -> None:
    """Log to `stream` from here on."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(SafeFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
