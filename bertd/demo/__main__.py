"""`python -m bertd.demo`: train an encoder end to end on the docstrings installed on this machine.

Exit status 0, 2 for a wrong argument, that of the BertdError that ended it, 130 for Ctrl-C, 143 for SIGTERM. However
it ends, no process that it started is left running.
"""

from __future__ import annotations

import argparse
import fcntl
import io
import os
import signal
import sys
import traceback
from pathlib import Path
from types import FrameType

from bertd.demo import process_cleanup
from bertd.demo.walkthrough import Settings, run_demo
from bertd.errors import BertdError, DaemonBusyError, StorageError
from bertd.program import INTERNAL_FAULT, INTERRUPTED, print_error, run_main
from bertd.run.amounts.durations import parse_duration
from bertd.run.budget import MIN_BUDGET_S


class Terminated(BaseException):
    """SIGTERM or SIGHUP arrived."""


def parse_arguments(arguments: list[str]) -> Settings:
    """Parse the command line; exits with status 2 if it is wrong."""
    parser = argparse.ArgumentParser(prog="python -m bertd.demo", description=__doc__)
    parser.add_argument(
        "--budget", type=_parse_budget_s, default=120.0, metavar="TIME", help="training time: 30s, 2min, ... (2min)"
    )
    parser.add_argument("--folder", type=Path, default=Path(".demo"), help="folder for all output (.demo)")
    parser.add_argument(
        "--source-mb",
        type=_parse_megabytes,
        default=90,
        metavar="MB",
        help="Python source to read docstrings from (90)",
    )
    args = parser.parse_args(arguments)
    return Settings(
        budget_s=args.budget,
        folder=args.folder.absolute(),
        max_source_bytes=args.source_mb * 1_000_000,
    )


def _parse_budget_s(text: str) -> float:
    try:
        seconds = parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    if seconds < MIN_BUDGET_S:
        raise argparse.ArgumentTypeError(f"{text!r} is too short to train anything; give {MIN_BUDGET_S:g}s or more")
    return seconds


def _parse_megabytes(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 10_000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of megabytes between 1 and 10000")
    return int(text)


def main(arguments: list[str]) -> int:
    """Run the demo; return the exit status."""
    settings = parse_arguments(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Flush each line also to a pipe, and write a character that the encoding lacks as an escape.
        sys.stdout.reconfigure(line_buffering=True, errors="backslashreplace")
    process_cleanup.adopt_orphans()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _terminate)
    code, message = _run_to_exit_code(settings)
    # A second Ctrl-C must not leave half of the processes behind.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    process_cleanup.kill_descendants()
    if message:
        print_error(message, name="demo")
    return code


def _run_to_exit_code(settings: Settings) -> tuple[int, str]:
    try:
        lock = _lock(settings.folder)
        try:
            run_demo(settings)
        finally:
            os.close(lock)
    except BertdError as error:
        return error.exit_code, str(error)
    except KeyboardInterrupt:
        return INTERRUPTED, "stopped by Ctrl-C; everything it started was ended"
    except Terminated:
        return 143, "stopped by a signal; everything it started was ended"
    except BrokenPipeError:
        # The reader of the output left.
        return 1, ""
    except Exception as error:
        # Edge of the process: keep the traceback for the bug report.
        report = settings.folder / "fault.txt"
        report.write_text(traceback.format_exc())
        return INTERNAL_FAULT, f"internal error: {error!r}; please report it with {report}"
    return 0, ""


def _lock(folder: Path) -> int:
    """Lock the folder for this demo, until the returned descriptor is closed.

    Raises:
        StorageError: the folder cannot be written.
        DaemonBusyError: another demo uses it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder / "demo.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise StorageError(
            f"{folder}: {error.strerror}; run the demo in a writable folder, or give another with --folder"
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(lock)
        raise DaemonBusyError(
            f"{folder}: another demo is running there; wait for it, or give another --folder"
        ) from error
    return lock


def _terminate(number: int, frame: FrameType | None) -> None:
    raise Terminated


if __name__ == "__main__":
    sys.exit(run_main(lambda: main(sys.argv[1:]), name="demo"))
