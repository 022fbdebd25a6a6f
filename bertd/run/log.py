"""Lines that a job's own processes put into its log, which is their standard output."""

from __future__ import annotations

import os
from contextlib import suppress

_STANDARD_OUTPUT = 1


def log_line(line: str) -> None:
    """Write one line, with a single system call and no buffer.

    A log that the disk refuses must not end the run that it tells of: `print` would raise, there and again at the exit.
    """
    with suppress(OSError):
        os.write(_STANDARD_OUTPUT, f"{line}\n".encode(errors="replace"))
