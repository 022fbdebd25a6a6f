"""Write lines to the job's log, which is the standard output of its processes."""

from __future__ import annotations

import os
from contextlib import suppress

from bertd.terminal_text import terminal_text

_STANDARD_OUTPUT = 1


def log_line(line: str) -> None:
    """Write one line, safe for a terminal, with a single system call and no buffer.

    A disk that refuses the log must not end the run: `print` would raise, here and again at exit.
    """
    with suppress(OSError):
        os.write(_STANDARD_OUTPUT, f"{terminal_text(line)}\n".encode(errors="replace"))
