"""The edge of every program: whatever ends it becomes an exit status, and one line on standard error.

A BertdError has its own exit status. Ctrl-C is 130, a broken pipe on standard output 1, a path or an output that the
system refuses 74, memory that ran out 71, a working folder that was deleted 1. Any other exception is a bug in bertd:
its traceback is kept in a file for the report, with status 70, or printed where standard error is a log. Whatever is
printed passes `terminal_output`, so that no text from outside, an argument in a parser's message included, sends a
terminal a command. Pure Python, for both sides.

`python -m bertd.program MODULE ...` runs a module's `main` inside this edge, its imports included.
"""

from __future__ import annotations

import gc
import importlib
import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO

from bertd.errors import BertdError, DeviceMemoryError, StorageError
from bertd.terminal_text import shorten, terminal_line, terminal_output

INTERRUPTED = 130
"""Exit status after Ctrl-C: 128 + SIGINT, as shells report it."""
INTERNAL_FAULT = 70
"""Exit status after a bug in bertd."""
_READER_LEFT = 1
"""The status with which click exits on a broken pipe."""


class _OutputFile(io.FileIO):
    """Standard output: what the disk or the pipe refuses is a StorageError, unless the reader left."""

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            raise
        except OSError as error:
            reason = error.strerror or str(error)
            raise StorageError(
                f"standard output: cannot write: {reason}; free space there, or send the output elsewhere"
            ) from error


class _MessageFile(io.FileIO):
    """Standard error: a message that cannot be written is dropped, since it must not end the work that it is about."""

    def write(self, data: Any, /) -> int:
        with suppress(OSError):
            return super().write(data)
        return len(data)


class _SafeText(io.TextIOWrapper):
    """A text stream whose text cannot command a terminal, colours excepted."""

    is_drawing = False

    def write(self, text: str, /) -> int:
        super().write(terminal_output(text, is_drawing=self.is_drawing))
        return len(text)


@contextmanager
def drawing(stream: TextIO) -> Iterator[None]:
    """Let a library move the cursor on a standard stream, for a progress bar; its text is already safe."""
    if not isinstance(stream, _SafeText):
        yield
        return
    stream.is_drawing = True
    try:
        yield
    finally:
        stream.is_drawing = False


@contextmanager
def loading_libraries() -> Iterator[None]:
    """Keep garbage collection away from what is imported in the body, then and later: modules are never freed.

    For imports of seconds at the start of a program: a sixth of torch's goes into the search for garbage. Not for a
    body that makes anything else, which would never be freed either.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def run_main(
    program: Callable[[], int | None],
    *,
    name: str = "bertd",
    interrupted: str = "",
    reader_left: int = _READER_LEFT,
    is_logged: bool = False,
) -> int:
    """Run a program to its exit status.

    Args:
        program: returns its exit status, or None for 0; parses its arguments too, so that help is inside the edge.
        name: prefix of an error's line; empty for none.
        interrupted: line for standard error after Ctrl-C; empty for none.
        reader_left: exit status if the reader of the output has closed the pipe.
        is_logged: standard error is a log, where a bug's traceback belongs: the exception is raised.
    """
    with _guarded_streams():
        code = _run(program, name=name, interrupted=interrupted, reader_left=reader_left, is_logged=is_logged)
        try:
            sys.stdout.flush()
        except BrokenPipeError:
            _drop_output()
        except BertdError as error:
            _drop_output()
            if not code:
                print_error(str(error), name=name)
                code = error.exit_code
    return code


def _run(program: Callable[[], int | None], *, name: str, interrupted: str, reader_left: int, is_logged: bool) -> int:
    try:
        return program() or 0
    except SystemExit as end:
        if isinstance(end.code, str):
            print_error(end.code, name=name)
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except KeyboardInterrupt:
        if interrupted:
            print_error(interrupted, name="")
        return INTERRUPTED
    except BrokenPipeError:
        return reader_left
    except Exception as error:
        known = error if isinstance(error, BertdError) else _outside_cause(error)
        if known is None and is_logged:
            raise
        print_error(_describe_fault(error) if known is None else str(known), name=name)
        return INTERNAL_FAULT if known is None else known.exit_code


def _outside_cause(error: Exception) -> BertdError | None:
    """What a user, a disk or the machine got wrong, where the place of the fault did not say it."""
    if isinstance(error, MemoryError):
        return DeviceMemoryError("the machine's memory is too small; end other users of it, or give less work at once")
    if not isinstance(error, OSError):
        return None
    try:
        os.getcwd()  # noqa: PTH109 - Path.cwd is the same call
    except FileNotFoundError:
        return BertdError("the working folder no longer exists; change to another folder and run the command again")
    if error.filename is None:
        return None
    place = os.fsdecode(error.filename) if isinstance(error.filename, bytes) else str(error.filename)
    return StorageError(f"{place}: {error.strerror or error}; check the path, its permissions and the free space")


def _drop_output() -> None:
    """Otherwise the interpreter flushes again at exit and prints an error."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextmanager
def _guarded_streams() -> Iterator[None]:
    """Standard output and error that print every character, as an escape where it is unsafe or the encoding lacks it.

    A descriptor that the caller has closed is opened: else the next file would get its number, and the text meant for
    the terminal.
    """
    before = (sys.stdout, sys.stderr)
    if sys.stdin is None:
        _open_closed(0, os.O_RDONLY)
    # Read-only: writing to it fails, as it would on the closed descriptor.
    sys.stdout = _guard(before[0], kind=_OutputFile) if before[0] else _open_closed_stream(1, os.O_RDONLY, _OutputFile)
    sys.stderr = (
        _guard(before[1], kind=_MessageFile) if before[1] else _open_closed_stream(2, os.O_WRONLY, _MessageFile)
    )
    try:
        yield
    finally:
        if before[0]:
            sys.stdout = before[0]
        if before[1]:
            sys.stderr = before[1]


def _guard(stream: TextIO, *, kind: type[io.FileIO]) -> TextIO:
    """The same output through a file of `kind`; a stream that is not the interpreter's own stays as it is."""
    if type(stream) is not io.TextIOWrapper:
        return stream
    try:
        stream.flush()
        number = stream.fileno()
    except OSError:
        # A stream without a descriptor. One that cannot be flushed fails again, with its line, at the first write.
        return stream
    return _SafeText(
        io.BufferedWriter(kind(number, "w", closefd=False)),
        encoding=stream.encoding,
        errors="backslashreplace",
        # An unbuffered stream (PYTHONUNBUFFERED) has a buffer here, which each line leaves.
        line_buffering=stream.line_buffering or stream.write_through,
        write_through=stream.write_through,
    )


def _open_closed_stream(number: int, mode: int, kind: type[io.FileIO]) -> TextIO:
    if not _open_closed(number, mode):
        # Another file got the number meanwhile, and must not get the text.
        return open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115
    buffer = io.BufferedWriter(kind(number, "w", closefd=False))
    return _SafeText(buffer, encoding="utf-8", errors="backslashreplace", line_buffering=True)


def _open_closed(number: int, mode: int) -> bool:
    """Open the null device under a standard number; False if that is open, as something else."""
    try:
        os.fstat(number)
        return False
    except OSError:
        opened = os.open(os.devnull, mode)
    if opened != number:
        # Not for children: to them it stays as closed as the caller left it.
        os.dup2(opened, number, inheritable=False)
        os.close(opened)
    return True


def _describe_fault(error: Exception) -> str:
    """Keep the traceback in a file for the bug report; return the line to show."""
    import tempfile
    import traceback

    what = f"internal error: {type(error).__name__}: {error}"
    try:
        with tempfile.NamedTemporaryFile("w", prefix="bertd-fault-", suffix=".txt", delete=False) as file:
            traceback.print_exception(error, file=file)
    except OSError as refusal:
        return f"{what}; its traceback could not be kept: {refusal}"
    return f"{what}; please report it with {file.name}"


def print_error(message: str, *, name: str = "bertd") -> None:
    """Print one line on standard error, safe for a terminal."""
    line = terminal_line(shorten(message))
    print(f"{name}: {line}" if name else line, file=sys.stderr, flush=True)


def print_note(message: str) -> None:
    """Print a line on standard error, for what a user should know and the program continues after."""
    print_error(f"note: {message}")


def main() -> int:
    """Run the `main` of the module that the first argument names; its imports may fail or be interrupted too."""
    module = sys.argv.pop(1)
    return run_main(lambda: importlib.import_module(module).main())


if __name__ == "__main__":
    sys.exit(main())
