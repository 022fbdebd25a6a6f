"""Numbered commands to a running job: `control/000001.json`, `000002.json`, ... without gaps.

The daemon writes each one atomically (temporary name, fsync, rename). Rank 0 tries to open the next number between
steps, which costs one failed open. The journal's `command` records acknowledge; so each side survives a restart of the
other. A file that is not a command, which no daemon writes, is read as one that is refused: it must neither end the
training nor keep the commands after it from being read.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from bertd.errors import RunFolderError, StorageError
from bertd.records import BudgetRequest, Command, CommandKind
from bertd.run.atomic_files import atomic_write
from bertd.run.bounded_read import read_bounded
from bertd.validation_text import describe_problem

_MAX_ENTRY_BYTES = 1 << 16
_NOT_AN_ENTRY = frozenset({errno.EISDIR, errno.ELOOP, errno.ENXIO, errno.EAGAIN})
"""Errors of a folder, a link, a socket and a FIFO in an entry's place."""
_ENTRY_NAME = re.compile(r"^(\d{6,})\.json$")


def _entry_path(control: Path, number: int) -> Path:
    return control / f"{number:06d}.json"


def post(
    control: Path, *, verb: CommandKind, asked_by: str, now: float, budget: BudgetRequest | None = None
) -> Command:
    """Append a command; for the daemon alone, which is the only writer.

    Raises:
        RunFolderError: the job's folder was removed.
        StorageError: the disk refused; no command was posted.
    """
    try:
        control.mkdir(exist_ok=True)
        numbers = [int(match[1]) for entry in control.iterdir() if (match := _ENTRY_NAME.match(entry.name))]
    except FileNotFoundError as error:
        raise RunFolderError(f"{control.parent}: the job's folder is gone, so nobody can read a command") from error
    except OSError as error:
        raise StorageError(f"{control}: cannot use the mailbox: {error.strerror}; check the permissions") from error
    command = Command(number=max(numbers, default=0) + 1, t=now, verb=verb, asked_by=asked_by, budget=budget)
    atomic_write(_entry_path(control, command.number), command.model_dump_json())
    return command


def read_command(control: Path, *, number: int) -> Command | None:
    """The command with that number; None while there is none.

    Raises:
        RunFolderError: the entry cannot be read.
    """
    path = _entry_path(control, number)
    try:
        content = read_bounded(path, max_bytes=_MAX_ENTRY_BYTES)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno in _NOT_AN_ENTRY:
            return _unreadable(path, number=number, what=error.strerror or "it cannot be opened")
        raise RunFolderError(f"{path}: cannot read the command: {error.strerror}; check the permissions") from error
    try:
        command = Command.model_validate_json(content)
    except ValidationError as error:
        return _unreadable(path, number=number, what=describe_problem(error.errors()[0]))
    if command.number != number or command.verb is CommandKind.UNREADABLE:
        # A copy of another entry would be executed again and again: its own number is acknowledged.
        return _unreadable(path, number=number, what=f"it is command {command.number}, {command.verb}")
    return command


def _unreadable(path: Path, *, number: int, what: str) -> Command:
    problem = f"{path}: not a command, and refused: {what}"
    return Command(number=number, t=0.0, verb=CommandKind.UNREADABLE, asked_by="nobody", problem=problem)


def commands_after(control: Path, *, number: int) -> Iterator[Command]:
    """The commands after number `number`, in order.

    Raises:
        RunFolderError: an entry cannot be read.
    """
    while (command := read_command(control, number=number + 1)) is not None:
        yield command
        number = command.number
