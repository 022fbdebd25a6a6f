"""The edge of every program: an error becomes one line on standard error and an exit status.

A BertdError ends a program with its own exit code, Ctrl-C with 130, a broken pipe on standard output with 1. Any other
exception is a bug in bertd: it passes through, and Python prints its traceback. Pure Python, for both sides.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from bertd.errors import BertdError
from bertd.terminal_text import terminal_line

INTERRUPTED = 130
"""Exit status after Ctrl-C: 128 + SIGINT, as shells report it."""
_READER_LEFT = 1
"""The status with which click exits on a broken pipe."""


def run_main(
    program: Callable[[], int | None],
    *,
    name: str = "bertd",
    interrupted: str = "",
    reader_left: int = _READER_LEFT,
) -> int:
    """Run a program to its exit status.

    Args:
        program: returns its exit status, or None for 0.
        name: prefix of an error's line; empty for none.
        interrupted: line for standard error after Ctrl-C; empty for none.
        reader_left: exit status if the reader of the output has closed the pipe.
    """
    try:
        code = program() or 0
    except BertdError as error:
        print_error(str(error), name=name)
        code = error.exit_code
    except KeyboardInterrupt:
        if interrupted:
            print(interrupted, file=sys.stderr)
        code = INTERRUPTED
    except BrokenPipeError:
        code = reader_left
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        # Otherwise the interpreter flushes again at exit and prints an error.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code


def print_error(message: str, *, name: str = "bertd") -> None:
    """Print one line on standard error, safe for a terminal."""
    line = terminal_line(message)
    print(f"{name}: {line}" if name else line, file=sys.stderr, flush=True)
