"""Numbered commands to a running job: `control/000001.json`, `000002.json`, ... without gaps.

The daemon writes each one atomically (temporary name, fsync, rename). Rank 0 tries to open the next number between
steps, which costs one failed open. The journal's `command` records acknowledge; so each side survives a restart of the
other. A file that is not a command, which no daemon writes, is read as one that is refused: it must neither end the
training nor keep the commands after it from being read. A file beyond a gap, where no rank looks, is moved to the next
number when a command is posted, so that it is answered too, and the command after it is read.
"""

from __future__ import annotations

import errno
import logging
import re
from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from bertd.errors import RunFolderError, StorageError
from bertd.records import AlertRequest, BudgetRequest, Command, CommandKind
from bertd.run.atomic_files import atomic_write
from bertd.run.bounded_read import read_bounded
from bertd.run.journal_digest import read_progress
from bertd.run.paths import JobPaths
from bertd.validation_text import describe_problem

logger = logging.getLogger(__name__)

_MAX_ENTRY_BYTES = 1 << 16
_NOT_AN_ENTRY = frozenset({errno.EISDIR, errno.ELOOP, errno.ENXIO, errno.EAGAIN, errno.EINVAL})
"""Errors of a folder, a link, a socket, a FIFO and what else is no file in an entry's place."""
_ENTRY_NAME = re.compile(r"^(\d{6,})\.json$")


def _entry_path(control: Path, number: int) -> Path:
    return control / f"{number:06d}.json"


def post(
    control: Path,
    *,
    verb: CommandKind,
    asked_by: str,
    now: float,
    budget: BudgetRequest | None = None,
    alert: AlertRequest | None = None,
) -> Command:
    """Append a command; for the daemon alone, which is the only writer.

    Raises:
        RunFolderError: the job's folder was removed, or its journal cannot be read.
        StorageError: the disk refused; no command was posted.
    """
    try:
        control.mkdir(exist_ok=True)
        number = _take_in_strays(control, numbers=_numbers(control))
    except FileNotFoundError as error:
        raise RunFolderError(f"{control.parent}: the job's folder is gone, so nobody can read a command") from error
    except OSError as error:
        raise StorageError(f"{control}: cannot use the mailbox: {error.strerror}; check the permissions") from error
    command = Command(number=number, t=now, verb=verb, asked_by=asked_by, budget=budget, alert=alert)
    atomic_write(_entry_path(control, command.number), command.model_dump_json())
    return command


def _numbers(control: Path) -> set[int]:
    """Numbers of the entries, under the names that a reader opens."""
    numbers = {int(match[1]) for entry in control.iterdir() if (match := _ENTRY_NAME.match(entry.name))}
    return {number for number in numbers if number > 0 and _is_there(_entry_path(control, number))}


def _is_there(path: Path) -> bool:
    return path.exists() or path.is_symlink()


def _take_in_strays(control: Path, *, numbers: set[int]) -> int:
    """The next number that a rank looks for; entries beyond it, which no rank would reach, get that number and on."""
    if len(numbers) == max(numbers, default=0):
        return len(numbers) + 1
    # There is a gap. Entries that were answered may have been deleted; only the journal has the number of the last.
    number = read_progress(JobPaths(control.parent).journal).acknowledged + 1
    while number in numbers:
        number += 1
    for stray in sorted(other for other in numbers if other > number):
        before, after = _entry_path(control, stray), _entry_path(control, number)
        before.rename(after)
        logger.warning(
            "%s: no command of that number was due, so it is not read in its place; moved to %s", before, after
        )
        number += 1
    return number


def read_command(control: Path, *, number: int) -> Command | None:
    """The command with that number; None while there is none.

    Raises:
        RunFolderError: the entry cannot be read.
    """
    path = _entry_path(control, number)
    try:
        content = read_bounded(path, max_bytes=_MAX_ENTRY_BYTES)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        if error.errno in _NOT_AN_ENTRY:
            return _unreadable(path, number=number, what=error.strerror or "it cannot be opened")
        raise RunFolderError(f"{path}: cannot read the command: {error.strerror}; check the permissions") from error
    try:
        command = Command.model_validate_json(content)
    except ValidationError as error:
        return _unreadable(path, number=number, what=describe_problem(error.errors()[0]))
    if command.verb is CommandKind.ALERT and command.alert is None:
        return _unreadable(path, number=number, what="it is an alert without its text")
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
